"""Wording that all output shares: values, counts, durations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def written(value: Any) -> str:
    """Return a config value as an override writes it: floats short and exact, text without quotes where it can be."""
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return json.dumps(value, separators=(",", ":"))


def _is_plain(text: str) -> bool:
    """Return whether a text can stand without quotes: one printable word, which nobody takes for a number or null."""
    if not text or not text.isprintable() or " " in text:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


def count(n: int, what: str) -> str:
    """Return e.g. `1 stack`, `2 stacks`."""
    return f"{n} {what}{'s' * (n != 1)}"


def first(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and dots where there are more."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def in_stacks(stacks: Sequence[Sequence[str]]) -> str:
    """Return e.g. `12 trials`, or `32 trials in 2 stacks` where some train together."""
    trials = sum(map(len, stacks))
    stacked = f" in {count(len(stacks), 'stack')}" if trials != len(stacks) else ""
    return f"{count(trials, 'trial')}{stacked}"


def duration(seconds: float) -> str:
    """Return `h:mm:ss` or `m:ss`."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
