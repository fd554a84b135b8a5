"""Files that are whole or absent, whatever is killed and whoever else writes."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.untrusted import MIB, parse_json, read_regular


class DamagedFile(Exception):
    """A file that is there but cannot be trusted."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: after a crash at any moment it holds the old bytes or the new ones.

    Raises
    ------
    StoreError
        The disk is full, the folder is gone or may not be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


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
    """
    try:
        return parse_json(read_regular(path, at_most))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise DamagedFile(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DamagedFile(f"{path}: {error}") from None


def refuse_link(folder: Path) -> None:
    """Check that a folder of the store is no symbolic link: what is written and removed there stays in the store.

    Raises
    ------
    StoreError
        It is one.
    """
    if folder.is_symlink():
        raise StoreError(f"{folder} is a symbolic link, which is not followed: put the folder itself there")
