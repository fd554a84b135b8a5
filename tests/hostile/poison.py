"""Malicious files in place of the product's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Poison = Callable[[Path], None]
"""Replaces a file."""


def text(change: Callable[[str], str]) -> Poison:
    def replace(path: Path) -> None:
        path.write_text(change(path.read_text()))

    return replace


def values(*place: str, to: Any) -> Poison:
    """Set what lies at a place in a JSON file."""

    def replace(path: Path) -> None:
        content = json.loads(path.read_text())
        node = content
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = to
        path.write_text(json.dumps(content))

    return replace


def content(data: bytes) -> Poison:
    return lambda path: void(path.write_bytes(data))


def void(_: object) -> None:
    """Drop what a function returns."""


def link_to(target: Path) -> Poison:
    def replace(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return replace


def moved_away(path: Path) -> None:
    """A link to the intact file, outside the store."""
    outside = path.parents[2] / "outside.json"
    os.replace(path, outside)
    path.symlink_to(outside)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def sparse(path: Path) -> None:
    """64 GiB, of which the disk holds nothing."""
    with path.open("r+b") as file:
        file.truncate(2**36)


def deep(brackets: int) -> Poison:
    return text(lambda old: old.rstrip().removesuffix("}") + ', "more": ' + "[" * brackets + "]" * brackets + "}")


FILES: dict[str, Poison] = {
    "empty": content(b""),
    "cut": text(lambda old: old[: len(old) // 2]),
    "zeros": content(b"\0" * 4096),
    "not UTF-8": content(b'{"schema": 1, "trial_id": "\xff\xfe"}'),
    "UTF-16": lambda path: void(path.write_text(path.read_text(), encoding="utf-16")),
    "a list": content(b"[1, 2]"),
    "a number": content(b"1"),
    "null": content(b"null"),
    "a key twice": text(lambda old: old.replace("{", '{"twice": 1, "twice": 1, ', 1)),
    "deep": deep(100_000),
    "rather deep": deep(400),
    "a larger file": text(lambda old: old + " " * 2**24),
    "a huge file": sparse,
    "a link out": moved_away,
    "a link in a ring": lambda path: link_to(path)(path),
    "a link to a device": link_to(Path("/dev/zero")),
    "a pipe": pipe,
    "a folder": folder,
}
"""Whatever the file is."""
