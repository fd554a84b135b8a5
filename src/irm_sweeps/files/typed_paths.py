"""Folders as users type them: `~` is expanded, and whether one can be written is checked before anything runs."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from irm_sweeps.errors import UserError


def expanded(typed: str | Path, key: str) -> Path:
    """Return a path with `~` expanded, absolute.

    Parameters
    ----------
    key
        What the path was typed for, e.g. `results`.

    Raises
    ------
    UserError
        `~NAME` names no user of this machine.
    """
    try:
        return Path(typed).expanduser().absolute()
    except RuntimeError:
        user = str(typed).partition("/")[0]
        raise UserError(f"{key}={typed}: this machine has no home folder for {user}: write the whole path") from None


def from_home(typed: str | os.PathLike[str], key: str) -> Path:
    """Return a path with `~` expanded, and otherwise as it was typed, relative too.

    Raises
    ------
    UserError
        `~NAME` names no user of this machine, or the path is empty.
    """
    if not os.fspath(typed):
        raise UserError(f"{key} is empty: give a path; this folder is .")
    path = Path(typed)
    return expanded(path, key) if path.parts[:1] and path.parts[0].startswith("~") and not path.exists() else path


def output(typed: str) -> Path:
    """Return the path that is typed after `--output`, for an argument parser: a shell leaves the `~` of `--output=~/x`.

    Raises
    ------
    UserError
        As `from_home`.
    """
    return from_home(typed, "--output")


def refuse_file(folder: Path, key: str) -> None:
    """Check that a path is a folder or nothing yet.

    Raises
    ------
    UserError
        It is a file, or lies below one.
    """
    for path in (folder, *folder.parents):
        if os.path.lexists(path) and not path.is_dir():
            broken = path.is_symlink() and not path.exists()
            what = "a symbolic link that leads nowhere" if broken else "a file"
            if path == folder:
                archive = "; an archive is only read: irm-sweeps unpack adds its results to a directory"
                raise UserError(f"{key}={folder} is {what}: give a directory{archive if _is_archive(path) else ''}")
            raise UserError(f"{key}={folder}: cannot create {folder}: Not a directory: {path} is {what}; give another")


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def check_writable(folder: Path, key: str) -> None:
    """Check that a folder can be written, or created, by creating an empty folder there and removing it.

    Raises
    ------
    UserError
        It cannot.
    """
    refuse_file(folder, key)
    nearest = next(path for path in (folder, *folder.parents) if path.is_dir())
    probe = nearest / f".probe.{secrets.token_hex(6)}"
    try:
        probe.mkdir()
    except OSError as error:
        what = "cannot be written" if nearest == folder else f"cannot create {folder}"
        where = f"{key}={folder} {what}" if nearest == folder else f"{key}={folder}: {what}"
        raise UserError(f"{where}: {error.strerror}: give a directory that you may write") from None
    with suppress(OSError):
        probe.rmdir()
