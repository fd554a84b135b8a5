"""Standard input, output and error: the descriptors of the system, and Python's objects."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

NAMES = ("stdin", "stdout", "stderr")

PutBack = Callable[[str, Callable[[], Any]], None]


def standard_streams(put_back: PutBack) -> Callable[..., None]:
    """Return a function that restores the streams: what was replaced or redirected, and what was closed.

    Parameters
    ----------
    put_back
        Calls the second argument, and reports a failure under the name of the first.
    """
    objects = {name: (getattr(sys, name), getattr(sys, f"__{name}__")) for name in NAMES}
    descriptors = [_duplicate(number) for number in range(3)]

    def restore(*_: object) -> None:
        for number, (name, own) in enumerate(objects.items()):
            if (saved := descriptors[number]) is not None:
                put_back(name, partial(_redirect, saved, number))
            put_back(name, partial(_put_objects, number, name, own))

    return restore


def _duplicate(number: int) -> int | None:
    try:
        return os.dup(number)
    except OSError:  # it is closed
        return None


def _redirect(saved: int, number: int) -> None:
    """Let a descriptor lead again where it led; what was printed meanwhile goes where it was meant to go."""
    try:
        if not _same(saved, number):
            with suppress(Exception):  # a stream that was closed or replaced
                getattr(sys, NAMES[number]).flush()
            os.dup2(saved, number)
    finally:
        os.close(saved)


def _same(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def _put_objects(number: int, name: str, own: tuple[Any, Any]) -> None:
    """Restore `sys.NAME` and `sys.__NAME__`; one that was closed is opened anew on its descriptor."""
    opened = _open(number) if any(getattr(stream, "closed", False) for stream in own) else None
    for attribute, stream in zip((name, f"__{name}__"), own, strict=True):
        whole = opened if getattr(stream, "closed", False) else stream
        if getattr(sys, attribute, None) is not whole:
            setattr(sys, attribute, whole)


def _open(number: int) -> Any:
    with suppress(OSError):
        return open(number, "r" if number == 0 else "w", buffering=1, errors="backslashreplace", closefd=False)
    return None
