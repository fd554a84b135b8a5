"""The file that a command of this package writes where --output, or its default, names."""

from __future__ import annotations

import os
from pathlib import Path

from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files.atomic import make_folder, write_atomically

_ELSEWHERE = "name another place with --output FILE"


def check_output(path: Path) -> None:
    """Check that a file can be written, and make nothing yet: a command with another mistake leaves no folder.

    Raises
    ------
    UserError
        It is a folder, or its folder is none, may not be written to, or cannot be made.
    """
    if path.is_dir():
        raise UserError(f"--output {path}: this is a folder; {_ELSEWHERE}")
    folder = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not folder.is_dir():
        raise UserError(f"--output {path}: {folder} is no folder; {_ELSEWHERE}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"--output {path}: no permission to write in {folder}; {_ELSEWHERE}")


def write_output(path: Path, content: bytes) -> None:
    """Write a file and print its path; missing folders are made.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    try:
        make_folder(path.parent)
        write_atomically(path, content)
    except StoreError as error:
        raise UserError(f"--output {path}: {error}; {_ELSEWHERE}") from None
    print(path)
