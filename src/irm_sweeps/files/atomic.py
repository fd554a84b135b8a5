"""Files that are whole or absent, whatever is killed and whoever else writes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.files.untrusted import MIB, parse_json, read_regular

FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE})
"""What a disk or a file server says when it, and not the trial that met it, is at fault."""
_LOOKS = 3
"""A file that is replaced while another host reads it is briefly stale there; the next look finds the new one."""
_NO_FILE_OF_OURS = frozenset({errno.ELOOP, errno.EINVAL, errno.EFBIG, errno.EISDIR})
"""A link, a pipe or a device, a file too large to be ours, a folder: as `untrusted.open_regular` refuses them."""


class DamagedFile(Exception):
    """A file that is there but cannot be trusted."""

    def told(self) -> str:
        """Return what it is and what a user does about it."""
        return f"damaged: {self}; issue the sweep's command again to replace it"


class UnreadableFile(DamagedFile):
    """A file that is there and perhaps whole, but not for this user or not at this moment."""

    def told(self) -> str:
        """Return what it is and what a user does about it: no launch replaces what may be whole."""
        return f"{self}: make it readable for you"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: after a crash at any moment it holds the old bytes or the new ones.

    Raises
    ------
    StoreError
        The disk is full, the folder is gone or may not be written.
    """
    with _temporary(path, content, durable=True) as temporary:
        os.replace(temporary, path)
        sync(path.parent)


def write_once(path: Path, content: bytes, *, durable: bool = True) -> bool:
    """Create `path` with `content`, whole from the moment it exists; False if the name is taken.

    Of several who try, on whichever hosts, one succeeds: a hard link is made or not, also on NFS.

    Parameters
    ----------
    durable
        Whether it must be there after a power cut.

    Raises
    ------
    StoreError
        As `write_atomically`.
    """
    with _temporary(path, content, durable) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        if durable:
            sync(path.parent)
    return True


@contextlib.contextmanager
def _temporary(path: Path, content: bytes, durable: bool) -> Iterator[Path]:
    """Give a file beside `path` with these bytes, gone at the end if it is still there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield temporary
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        discard(temporary)


def sync(folder: Path) -> None:
    """Let a name given in this folder survive a power cut, where the file system can promise it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file that nobody needs, if that can be done."""
    with contextlib.suppress(OSError):
        path.unlink()


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Create a folder and, with `parents`, those it lies in: a store that was removed must not come back.

    Raises
    ------
    StoreError
        It cannot be created.
    """
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {path}: {error.strerror or error}") from error


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


def to_json(value: Any, indent: int | None = 1) -> bytes:
    """Return strict JSON: a NaN is an error, not a literal. Without indent it is written ten times as fast."""
    return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()


def read_json(path: Path, at_most: int = 16 * MIB) -> Any:
    """Parse an ordinary file of strict JSON (see `untrusted.parse_json`) with at most so many bytes.

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
    """Return the bytes of an ordinary file of the store, the newest where it is being replaced.

    Raises
    ------
    OSError
        As `read_regular`.
    """
    for _ in range(_LOOKS - 1):
        try:
            return read_regular(path, at_most)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read_regular(path, at_most)


def refusal(path: Path, error: OSError) -> DamagedFile | UnreadableFile:
    """Return what a failure to read means: something else lies in the file's place, or it cannot be looked at."""
    if error.errno in _NO_FILE_OF_OURS:
        return DamagedFile(f"{path}: {error.strerror}")
    return UnreadableFile(f"cannot read {path}: {error.strerror or error}")


def refuse_link(folder: Path) -> None:
    """Check that a folder of the store is no symbolic link: what is written and removed there stays in the store.

    Raises
    ------
    StoreError
        It is one.
    """
    if folder.is_symlink():
        raise StoreError(f"{folder} is a symbolic link, which is not followed: put the folder itself there")
