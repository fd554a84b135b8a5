"""Strict JSON, parsed in less than half the time wherever a count proves that the text is strict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

DOUBT: Any = object()
"""In place of a value: only a slower look tells what the text holds, or what is wrong with it."""


class _DoubtfulError(ValueError):
    """A value may not be as strict as it should."""


def quick_json(text: bytes, *, depth: int, largest: int) -> Any:
    """Return the value of strict JSON in UTF-8, or `DOUBT`; see `untrusted.parse_json` for what is strict.

    The parser keeps the last of two values of one key and drops the other: then the value has fewer strings, keys
    included, than the text has pairs of quotation marks.

    Parameters
    ----------
    depth
        No value has as many containers around it.
    largest
        Whole numbers are smaller than this.
    """
    if b"\\" in text:
        return DOUBT
    try:
        value = from_json(text, allow_inf_nan=False)
        strings = _strings([value], depth + 1, largest)
    except ValueError:
        return DOUBT
    return value if 2 * strings == text.count(b'"') else DOUBT


def _strings(container: dict[str, Any] | list[Any], depth: int, largest: int) -> int:
    """Return the number of strings in a container, keys included.

    Raises
    ------
    _DoubtfulError
        A number in it is too large, or something in it too deep.
    """
    if depth <= 1:
        raise _DoubtfulError
    strings, total = 0, 0.0
    items: Iterable[Any] = container
    if isinstance(container, dict):
        strings, items = len(container), container.values()
    for item in items:
        kind = type(item)
        if kind is float:
            total += item  # quicker than to test each: a sum with an infinite one is infinite or nan
        elif kind is dict or kind is list:
            strings += _strings(item, depth - 1, largest)
        elif kind is str:
            strings += 1
        elif kind is int and not -largest < item < largest:
            raise _DoubtfulError
    if total - total:  # not 0: nan
        raise _DoubtfulError
    return strings
