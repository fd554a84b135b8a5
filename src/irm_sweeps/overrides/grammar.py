"""What to type in place of an override that Hydra's grammar does not allow, or that says a key again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from irm_sweeps.errors import UserError

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_OF_TRIALS = re.compile(r"(lam|seed|training|dataset|backbone|method|optimizer)\b")
"""A key of which a sweep can have several values."""


def check_given_once(overrides: Sequence[str]) -> None:
    """Check that no key is given twice: Hydra takes the last value, or in a sweep the values of both.

    Neither may the length of training be given as steps and as epochs.

    `+lam=1` and `++lam=1` are the key `lam`; `~lam`, which removes it, may stand beside another word for it.

    Raises
    ------
    UserError
        One is; the message names the key and all that was typed for it.
    """
    by_key: dict[str, list[str]] = {}
    for override in overrides:
        if "=" in override and not override.startswith("~"):
            by_key.setdefault(override.partition("=")[0].lstrip("+"), []).append(override)
    for key, typed in by_key.items():
        if len(typed) > 1:
            values = ",".join(dict.fromkeys(override.partition("=")[2] for override in typed))
            several = f"; several values are a sweep, -m {key}={values}" if _OF_TRIALS.match(key) else ""
            raise UserError(f"{key} is given {len(typed)} times ({' '.join(typed)}): give it once{several}")
    lengths = [word for key in ("training.steps", "training.epochs") for word in by_key.get(key, ())]
    if len(lengths) > 1 and not any(word.endswith("=null") for word in lengths):
        raise UserError(f"{' '.join(lengths)}: give one of them, how long training is in steps or in epochs")


def unreadable(override: str, reason: str) -> str:
    """Return the message for an override that cannot be parsed: what was typed, Hydra's reason, what to type.

    Parameters
    ----------
    reason
        Hydra's words, whose list of expected tokens is left out; empty: none.
    """
    because = reason.partition(" expecting ")[0].strip()
    return f"{override!r} cannot be read: " + (f"{because}; " if because else "") + f"write {instead_of(override)}"


def instead_of(override: str) -> str:
    """Return the nearest override that Hydra can parse, quoted for a shell where it needs to be."""
    key, _, value = override.partition("=")
    if re.search(r";\s*[\w.]+=", value):
        return re.sub(r"\s*;\s*", " ", override)
    for candidate in _repaired(value.strip()):
        if candidate != value and _parses(f"{key}={candidate}"):
            typed = f"{key}={candidate}"
            return typed if re.fullmatch(r"[\w=.,:/@+%\[\]-]+", typed) else shlex.quote(typed)
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{quoted}"')


def _repaired(value: str) -> Iterator[str]:
    """Yield values that may be meant, the likeliest first."""
    if ";" in value:
        yield re.sub(r"\s*;\s*", ",", value)
    yield re.sub(r"(?:\s*,\s*)+", ",", value.lstrip("= ")).strip(",")
    if value[:1] in ("'", '"') or value[-1:] in ("'", '"'):
        yield value.strip("'\"")
    yield _with_brackets_closed(value)
    if re.fullmatch(r"[\s,()\[\]{}]*[^\s,()\[\]{}]+[\s,()\[\]{}]*", value):
        yield value.strip(" ,()[]{}")
    yield value.rstrip(")]}")


def _with_brackets_closed(value: str) -> str:
    """Return a value with the brackets closed that it opens; a closing one that nothing opens is left out."""
    expected: list[str] = []
    kept = []
    for character in value:
        if character in _PAIRS:
            expected.append(_PAIRS[character])
        elif character in _PAIRS.values():
            if not expected or expected[-1] != character:
                continue
            expected.pop()
        kept.append(character)
    return "".join(kept).rstrip(",") + "".join(reversed(expected))


def _parses(override: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except (HydraException, RecursionError):
        return False
    return True
