"""The history of a trial that is being trained, read again and again: only rows that were added are parsed."""

from __future__ import annotations

from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.files.untrusted import MIB, parse_json
from irm_sweeps.store.history import HistoryRow
from irm_sweeps.store.layout import HISTORY
from irm_sweeps.store.reader import Reader

LARGEST = 64 * MIB
"""Most bytes of a history that is read while it grows; of a larger one nothing is read."""


class GrowingHistory:
    """Keeps the rows of one trial's history, and adds those that its worker has written since the last look."""

    def __init__(self, store: Reader, trial_id: str) -> None:
        self._store, self._trial_id = store, trial_id
        self._read = b""
        self._rows: list[HistoryRow] = []

    def rows(self) -> list[HistoryRow]:
        """Return the rows that are written whole; none where there is no history yet.

        A history that does not begin as the one before is another one: its rows replace those.

        Raises
        ------
        DamagedFile
            It is too large, cannot be read, or a line of it is no row.
        """
        content = self._store.content(self._trial_id, HISTORY, LARGEST) or b""
        content = content[: content.rfind(b"\n") + 1]
        if not content.startswith(self._read):
            self._read, self._rows = b"", []
        try:
            self._rows += [HistoryRow.from_values(parse_json(line)) for line in content[len(self._read) :].splitlines()]
        except ValueError as error:
            raise DamagedFile(f"{self._store.root / self._trial_id / HISTORY}: {error}") from None
        self._read = content
        return self._rows
