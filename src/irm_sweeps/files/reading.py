"""Reading files of the store, and what it means when one cannot be read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from irm_sweeps.errors import StoreError
from irm_sweeps.files.json_stream import JsonStream
from irm_sweeps.files.untrusted import MIB, open_regular, parse_json, read_regular

T = TypeVar("T")

_ATTEMPTS = 3
"""A file that is replaced while another host reads it is briefly stale there; the next attempt reads the new one."""
_NOT_OUR_FILE = frozenset({errno.ELOOP, errno.EINVAL, errno.EFBIG, errno.EISDIR})
"""A link, a pipe or a device, a file too large to be ours, a folder: as `untrusted.open_regular` refuses them."""

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class DamagedFile(Exception):
    """A file exists, but its content cannot be trusted."""

    def told(self) -> str:
        """Return the problem and what a user does about it."""
        return f"damaged: {self}; issue the sweep's command again to replace it"


class UnreadableFile(DamagedFile):
    """A file exists and may be whole, but this user cannot read it, or not at this moment."""

    def told(self) -> str:
        """Return the problem and what a user does about it: no launch replaces a file that may be whole."""
        return f"{self}: make it readable for you"


def read_json(path: Path, at_most: int = 16 * MIB) -> Any:
    """Parse an ordinary file of strict JSON (see `untrusted.parse_json`) of at most `at_most` bytes.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        It is a link, a pipe or a folder, too large, cut short, or no strict JSON.
    UnreadableFile
        It is another user's, or the disk or the file server fails.
    """
    with _reading(path):
        return parse_json(read_fresh(path, at_most))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise what a failure to read this file means."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise refusal(path, error) from None
    except ValueError as error:
        raise DamagedFile(f"{path}: {error}") from None


def read_fresh(path: Path | str, at_most: int) -> bytes:
    """Return the bytes of an ordinary file of the store; of a file that is being replaced, the newest.

    Raises
    ------
    OSError
        As `read_regular`.
    """
    return _fresh(partial(read_regular, path, at_most))


def stream_json(path: Path, at_most: int, read: Callable[[JsonStream], T]) -> T:
    """Return what `read` makes of an ordinary file of strict JSON, which it reads piece by piece.

    Parameters
    ----------
    read
        Raises ValueError where the content is not what it should be.

    Raises
    ------
    FileNotFoundError, DamagedFile, UnreadableFile
        As `read_json`.
    """

    def attempt() -> T:
        with open_regular(path) as file:
            return read(JsonStream(file, at_most))

    with _reading(path):
        return _fresh(attempt)


def _fresh(read: Callable[[], T]) -> T:
    """Return what `read` returns; try again where the file was replaced meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()


def refusal(path: Path, error: OSError) -> DamagedFile | UnreadableFile:
    """Return the exception for a failure to read: damaged if something else is in the file's place, else unreadable."""
    if error.errno in _NOT_OUR_FILE:
        return DamagedFile(f"{path}: {error.strerror}")
    return UnreadableFile(f"cannot read {path}: {error.strerror or error}")


def is_there(path: Path) -> bool:
    """Return whether there is a file or a folder of this name; a symbolic link counts as what it leads to.

    Raises
    ------
    StoreError
        This user may not ask, or the file server fails: nobody knows.
    """
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether there is a folder of this name, or a symbolic link to one.

    Raises
    ------
    StoreError
        As `is_there`.
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from None


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder; none where there is no folder.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {error.strerror or error}") from None
