"""The history of a trial that is being trained: rows are added to `history.jsonl` while others may read it.

The result's writer replaces the file as a whole, so what is written here never changes the finished one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.files.atomic import replacing
from irm_sweeps.store.layout import HISTORY
from irm_sweeps.store.store import Store, row_bytes


class LiveHistory:
    """Writes the rows of one trial's history as they come.

    The first call replaces what lies there: rows of a worker that died, perhaps of steps after the checkpoint, or of an
    earlier result. Later calls add to that file; if another worker has replaced it meanwhile, nothing is added.
    """

    def __init__(self, store: Store, trial_id: str) -> None:
        self._path = store.own_folder(trial_id) / HISTORY
        self._rows = 0
        self._file: tuple[int, int] | None = None

    def write(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows that are new; `history` is the whole.

        Raises
        ------
        OSError
            The file cannot be written.
        NotStorable
            A row could not be read back.
        """
        if self._file is not None and len(history) == self._rows:
            return
        start = 0 if self._file is None else self._rows
        lines = b"".join(row_bytes(row, number) for number, row in enumerate(history[start:], start=start + 1))
        if self._file is None:
            self._replace(lines)
        else:
            self._append(lines, self._file)
        self._rows = len(history)

    def _replace(self, lines: bytes) -> None:
        with replacing(self._path) as file:
            file.write(lines)
            self._file = _identity(file.fileno())

    def _append(self, lines: bytes, expected: tuple[int, int]) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            if _identity(descriptor) == expected and os.write(descriptor, lines) < len(lines):
                raise StoreError(f"cannot write all of {self._path}")
        finally:
            os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    """Return device and inode of an open file: another file of the same name has another."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
