"""Reading files of the store, and what it means when one cannot be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.files.untrusted import MIB, parse_json, read_regular

_ATTEMPTS = 3
"""A file that is replaced while another host reads it is briefly stale there; the next attempt reads the new one."""
_NOT_OUR_FILE = frozenset({errno.ELOOP, errno.EINVAL, errno.EFBIG, errno.EISDIR})
"""A link, a pipe or a device, a file too large to be ours, a folder: as `untrusted.open_regular` refuses them."""


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
    try:
        return parse_json(read_fresh(path, at_most))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise refusal(path, error) from None
    except ValueError as error:
        raise DamagedFile(f"{path}: {error}") from None


def read_fresh(path: Path, at_most: int) -> bytes:
    """Return the bytes of an ordinary file of the store; of a file that is being replaced, the newest.

    Raises
    ------
    OSError
        As `read_regular`.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return read_regular(path, at_most)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read_regular(path, at_most)


def refusal(path: Path, error: OSError) -> DamagedFile | UnreadableFile:
    """Return the exception for a failure to read: damaged if something else is in the file's place, else unreadable."""
    if error.errno in _NOT_OUR_FILE:
        return DamagedFile(f"{path}: {error.strerror}")
    return UnreadableFile(f"cannot read {path}: {error.strerror or error}")


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
