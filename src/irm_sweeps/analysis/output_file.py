"""The file that a command of this package writes where --output, or its default, names."""

from __future__ import annotations

from pathlib import Path

from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files.atomic import make_folder, write_atomically


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
        raise UserError(f"{error}: name another place with --output FILE") from None
    print(path)
