"""A trial's config as `irm-sweeps show` prints it: the choices, what is not at its default, then the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from irm_sweeps.analysis.text_grid import terminal_width
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import COMPONENTS, yamls
from irm_sweeps.errors import UserError, one_line
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.naming.leaves import leaves
from irm_sweeps.store.later_fields import defaults_of
from irm_sweeps.wording import written

_WIDEST = 120
"""Most characters of a line, unless one value is longer: in a file, and in a wider terminal."""


def config_lines(config: Mapping[str, Any]) -> list[str]:
    """Return the lines that print a whole config; values are written as overrides.

    A value is at its default where `launch.py` with the same choices, and nothing else, would have it.
    """
    choices = {group: choice_name(group, config[group]) for group in COMPONENTS}
    values = {key: value for key, value in leaves(config) if not key.endswith("._target_")}
    if values.get("lam") is None:  # the method has none
        values.pop("lam", None)
    defaults = _defaults(config, choices)
    words = {key: one_line(f"{key}={written(value)}", at_most=1000) for key, value in values.items()}
    width = min(terminal_width() or _WIDEST, _WIDEST)
    changed = [word for key, word in words.items() if key not in defaults or values[key] != defaults[key]]
    kept = [word for word in words.values() if word not in changed]
    return [
        *_wrapped(width, "config:", [one_line(f"{group}={name}") for group, name in choices.items()]),
        *(_wrapped(width, "  not default:", changed) if changed else ()),
        *(_wrapped(width, "  default:", kept) if kept else ()),
    ]


def _defaults(config: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, Any]:
    """Return the default values by dotted key; none of a component without a YAML, or where none can be composed."""
    try:
        named = {group for group in COMPONENTS if choices[group] in {path.stem for path in yamls(group)}}
        composed = compose([f"{group}={choices[group]}" for group in COMPONENTS if group in named])
    except UserError:  # an own YAML has errors, which whoever launches is told
        return {}
    later = {group: defaults_of(config[group]["_target_"]) for group in named}
    known = {key: value for key, value in composed.items() if key not in COMPONENTS or key in named}
    return {**dict(leaves(later)), **dict(leaves(known))}


def _wrapped(width: int, head: str, words: Sequence[str]) -> Iterator[str]:
    """Yield lines of a head and words, broken between words."""
    line = head
    for word in words:
        if len(line) + 1 + len(word) > width and line.strip() != head.strip():
            yield line
            line = "   "
        line += f" {word}"
    yield line
