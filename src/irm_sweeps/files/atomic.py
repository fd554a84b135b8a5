"""Writing files that are whole or absent, whatever is killed and whoever else writes."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from irm_sweeps.errors import StoreError

FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE})
"""The error numbers that blame the disk or the file server, not the trial that met them."""


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Yield a new file beside `path`, and rename it to `path` at the end of the block.

    If the block raises, `path` stays as it was and the new file is removed.

    Parameters
    ----------
    durable
        Whether the content must survive a power cut once it is renamed.

    Raises
    ------
    OSError
        The file cannot be created, written or renamed.
    """
    with _temporary_name(path) as temporary:
        with temporary.open("xb") as file:
            yield file
            if durable:
                _flush(file)
        os.replace(temporary, path)
        if durable:
            sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: after a crash at any moment it holds the old bytes or the new ones.

    Raises
    ------
    StoreError
        The disk is full, the folder is gone or may not be written.
    """
    write_pieces(path, [content])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Do the same with content that is made piece by piece; if making it raises, `path` stays as it was.

    Raises
    ------
    StoreError
        As `write_atomically`.
    """
    with _store_errors(path), replacing(path, durable=True) as file:
        file.writelines(pieces)


def write_once(path: Path, content: bytes, *, durable: bool = True) -> bool:
    """Create `path` with `content`, whole from the moment it exists; return False if the name is taken.

    Of several processes that try, on whichever hosts, one succeeds: a hard link is made or not, also on NFS.

    Parameters
    ----------
    durable
        Whether it must be there after a power cut.

    Raises
    ------
    StoreError
        As `write_atomically`.
    """
    with _store_errors(path), _temporary_name(path) as temporary:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                _flush(file)
        try:
            os.link(temporary, path)
        except FileExistsError:
            # NFS says so too of a link that it has just made, if its first answer was lost: see open(2) on O_EXCL.
            if os.stat(temporary).st_nlink == 1:
                return False
        if durable:
            sync(path.parent)
    return True


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into a `StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _temporary_name(path: Path) -> Iterator[Path]:
    """Yield an unused name beside `path`; remove the file of that name at the end, if there is one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
    finally:
        discard(temporary)


def _flush(file: BinaryIO) -> None:
    """Write a file's content through to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Let the names in this folder survive a power cut, where the file system can promise it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file that is no longer needed, if it can be removed."""
    with suppress(OSError):
        path.unlink()


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Create a folder and, with `parents`, those above it: without, a store that was removed does not come back.

    Raises
    ------
    StoreError
        It cannot be created.
    """
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {path}: {error.strerror or error}") from error


def refuse_link(folder: Path) -> None:
    """Check that a folder of the store is no symbolic link: what is written and removed there stays in the store.

    Raises
    ------
    StoreError
        It is one.
    """
    if os.path.islink(folder):
        raise StoreError(f"{folder} is a symbolic link, which is not followed: put the folder itself there")


def to_json(value: Any, indent: int | None = 1) -> bytes:
    """Return strict JSON: a NaN is an error, not a literal. Without indent it is written ten times as fast."""
    return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()
