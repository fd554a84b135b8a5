"""What each key means, as `launch --help` prints it: from the comments of the YAMLs, without importing a class."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from irm_sweeps.conf_folders import COMPONENTS, conf_dir, yamls

_KEY = re.compile(r"""(\s*)(- )?(?:override |optional )?"?([\w/@]+)"?:\s*([^#]*?)\s*(?:#\s*(.*))?$""")
_MORE = re.compile(r"\s{20,}#\s*(.*)")
_INDENT = 26


def comments(path: Path) -> dict[str, str]:
    """Return the comment at the end of each key's line, and under `""` the file's first lines of comment."""
    found: dict[str, str] = {}
    head: list[str] = []
    last = None
    for line in path.read_text().splitlines():
        if line.startswith("#") and not found and last is None:
            head.append(line.removeprefix("#").strip())
        elif match := _KEY.match(line):
            last = match[3]
            if match[5]:
                found.setdefault(last, match[5])
        elif last in found and (more := _MORE.match(line)):
            found[last] += f" {more[1]}"
    found[""] = " ".join(head)
    return found


def help_text(*choices: str) -> str:
    """Return the meaning of every key of `conf/config.yaml`, and the YAMLs of these choices of `COMPONENTS`, in order.

    A YAML of the user's own that is given by its path is left out. A `$` is doubled, since Hydra's help is a template.
    """
    lines = list(_meanings(conf_dir() / "config.yaml"))
    for group, choice in zip(COMPONENTS, choices, strict=True):
        for path in yamls(group):
            if path.stem == choice:
                lines += ["", f"{group}={choice}: its keys are {group}.KEY"]
                lines += (part for line in path.read_text().rstrip().splitlines() for part in _fitted(f"  {line}"))
    return "\n".join(lines).replace("$", "$$")


def _meanings(path: Path) -> Iterator[str]:
    """Yield the lines on each key of the file; of an entry of its defaults, on the group."""
    about = comments(path)
    inside = ""
    for line in path.read_text().partition("\nhydra:")[0].splitlines():
        if line.startswith("# What") or line.startswith("# How"):
            yield from ("", *textwrap.wrap(line.removeprefix("# "), _width()))
        if not (match := _KEY.match(line)):
            continue
        indent, entry, key, value, _ = match.groups()
        inside = inside if indent else key
        if key in about:
            yield from _entry(key if entry or not indent else f"{inside}.{key}", value, about[key])


def _entry(name: str, value: str, about: str) -> Iterator[str]:
    """Yield the lines on one key: its default, and beside it, or below where there is no room, its meaning."""
    shown = f"  {name}={value}" if value else f"  {name}"
    lines = textwrap.wrap(about, _width() - _INDENT, break_on_hyphens=False)
    if len(shown) >= _INDENT:
        yield shown
    else:
        yield shown.ljust(_INDENT) + lines.pop(0)
    yield from (" " * _INDENT + line for line in lines)


def _fitted(line: str) -> list[str]:
    """Return a line of a YAML, whose comment goes on below it where it does not fit."""
    head, mark, comment = line.partition("# ")
    if not mark or len(line) <= _width():
        return [line]
    further = " " * len(head) + mark
    return textwrap.wrap(
        comment, _width(), initial_indent=head + mark, subsequent_indent=further, break_on_hyphens=False
    )


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, 80), 120)
