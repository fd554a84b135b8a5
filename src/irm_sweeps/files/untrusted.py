"""Reading files and JSON that anybody may have written: bounded in time, size and nesting, and strict."""

from __future__ import annotations

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from irm_sweeps.files.quick_json import DOUBT, quick_json

MIB = 2**20
_PIECE = 2**16
DEPTH = 64
"""Most containers around a value of JSON; what this package writes has eight."""
LARGEST = 2**63
"""Whole numbers are smaller than this: others fit no column of a table."""


def open_regular(path: Path, *, follow: bool = False) -> BufferedReader:
    """Open an ordinary file to read; a pipe, a device or a folder is refused instead of waited for.

    Parameters
    ----------
    follow
        Whether it may be a symbolic link: a data file may, a file of the store may not.

    Raises
    ------
    OSError
        It is not an ordinary file, or cannot be opened.
    """
    return open(_opened(path, follow=follow)[0], "rb")


def _opened(path: Path | str, *, follow: bool) -> tuple[int, os.stat_result]:
    """Return a descriptor of an ordinary file and its status; raises as `open_regular`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "a symbolic link, which is not followed", str(path)) from None
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "no regular file", str(path)) from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return descriptor, status


def read_regular(path: Path | str, at_most: int, *, follow: bool = False) -> bytes:
    """Return the bytes of an ordinary file.

    Raises
    ------
    OSError
        As `open_regular`, or it has more than `at_most` bytes: then none are read.
    """
    descriptor, status = _opened(path, follow=follow)
    try:
        pieces, size = [], 0
        while size <= at_most >= status.st_size and (piece := os.read(descriptor, max(status.st_size - size, _PIECE))):
            pieces.append(piece)
            size += len(piece)
    finally:
        os.close(descriptor)
    if max(size, status.st_size) > at_most:
        raise OSError(errno.EFBIG, f"larger than {at_most // MIB} MiB", str(path))
    return b"".join(pieces)


def append_regular(path: Path) -> int:
    """Return a descriptor to append to an ordinary file, which is created if absent; a link or a pipe is refused.

    Raises
    ------
    OSError
        It cannot be opened, or is not an ordinary file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return descriptor


def parse_json(text: bytes | str) -> Any:
    """Return the value of strict JSON in UTF-8; half a surrogate pair becomes a question mark.

    Raises
    ------
    ValueError
        The text is no JSON, has a key twice, a number that is not finite or too large, or is nested too deeply.
    """
    if isinstance(text, bytes):
        if (quick := quick_json(text, depth=DEPTH, largest=LARGEST)) is not DOUBT:
            return quick
        decoded = text.decode()
    else:
        decoded = text
    try:
        value = _STRICT.decode(decoded)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return _checked(value, decoded)


def parse_json_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value of strict JSON that begins at `start`, and where it ends.

    Raises
    ------
    ValueError
        As `parse_json`.
    """
    try:
        value, end = _STRICT.raw_decode(text, start)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return _checked(value, text[start:end]), end


def _checked(value: Any, text: str) -> Any:
    """Return a value as `parse_json` does, of which this is the text."""
    _check_depth(value)
    if "\\ud" in text or "\\uD" in text:
        return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return value


_TOO_DEEP = f"nested more than {DEPTH} deep"


def _check_depth(value: Any) -> None:
    filled = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH):
        if not filled:
            return
        filled = [
            item
            for container in filled
            for item in (container.values() if type(container) is dict else container)
            if (type(item) is dict or type(item) is list) and item
        ]
    raise ValueError(_TOO_DEEP)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number:  # of infinity, and of nothing else that digits can spell, the difference is not zero
        raise ValueError(f"{digits:.20} is too large a number")
    return number


def _bounded(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) >= LARGEST:
        raise ValueError(f"{digits:.20} is too large a number")
    return number


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key stands twice")
    return mapping


_STRICT = json.JSONDecoder(
    parse_constant=_refuse, parse_float=_finite, parse_int=_bounded, object_pairs_hook=_each_key_once
)
