"""Mutate JSON texts by replacing single values, which keeps the syntax valid, unlike random changes of bytes."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

NAN, INFINITY = float("nan"), float("inf")
STRANGE_WORDS = ("", "x", "os.system", "../..", "NaN", "\x00", "\ud800", "A" * 5000, "0.9", "${lam}", "1e400")
STRANGE_NUMBERS = (0, -1, 2**63, 10**400, -0.0, 1e308, NAN, INFINITY, True)
STRANGE = (*STRANGE_WORDS, *STRANGE_NUMBERS, 1, 0.5, None, False, [], {}, [[]], {"": None})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a nested value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, own in inner for place in places(own, (*path, key)))]


def at(value: Any, place: tuple[Any, ...]) -> Any:
    """What stands there."""
    for key in place:
        value = value[key]
    return value


def replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    """The same with another value there."""
    if not place:
        return by
    changed = copy.copy(value)
    changed[place[0]] = replaced(value[place[0]], place[1:], by)
    return changed


def changed(content: bytes, seed: int) -> bytes | None:
    """The JSON text with a value replaced by a strange one or by another of its own; None where it is no JSON."""
    draw = random.Random(seed)
    try:
        values = json.loads(content)
        found = places(values)
        by = draw.choice(STRANGE) if draw.random() < 0.5 else at(values, draw.choice(found))
        return json.dumps(replaced(values, draw.choice(found), by)).encode()
    except (ValueError, RecursionError):
        return None
