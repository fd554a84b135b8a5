"""Reading results: what a store's folder and an archive have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.files.untrusted import MIB, parse_json
from irm_sweeps.store.history import HistoryRow
from irm_sweeps.store.layout import HISTORY, ORIGIN, RESULT
from irm_sweeps.store.origin import LARGEST_ORIGIN, Origin
from irm_sweeps.store.result import Result

LARGEST_RESULT = 16 * MIB
"""Most bytes of a result."""
LONGEST_HISTORY = 1024 * MIB
"""Most bytes of a history; a million rows have a tenth of it."""


@dataclass(frozen=True)
class Problem:
    """A file in the store that is damaged or not ours: named and skipped, never deleted."""

    path: Path
    reason: str


class Reader(ABC):
    """The results of many trials, to be read.

    Attributes
    ----------
    root
        The directory, or the archive's file.
    """

    root: Path

    @abstractmethod
    def trial_ids(self) -> list[str]:
        """Return the ids of all trials, in order; in a store, of those without a result too."""

    @abstractmethod
    def content(self, trial_id: str, name: str, at_most: int) -> bytes | None:
        """Return the bytes of one of a trial's files, or None if it has no such file.

        Raises
        ------
        DamagedFile
            It has more than `at_most` bytes, or cannot be read.
        """

    def result(self, trial_id: str) -> Result | None:
        """Return the trial's result, or None if it has none.

        Raises
        ------
        DamagedFile
            There is a result file, but it is no valid result of this trial.
        """
        content = self.content(trial_id, RESULT, LARGEST_RESULT)
        if content is None:
            return None
        try:
            result = Result.from_values(parse_json(content))
            if result.trial_id != trial_id:
                raise ValueError(f"of trial {result.trial_id}, not {trial_id}")
        except ValueError as error:
            raise DamagedFile(f"{self.root / trial_id / RESULT}: {error}") from None
        return result

    def history(self, trial_id: str) -> list[HistoryRow] | None:
        """Return the rows of the trial's history, or None if it has none; while it trains, those written so far.

        Raises
        ------
        DamagedFile
            There is a file, but a line of it is no row, or the result counts more or fewer rows.
        """
        rows = self._rows(trial_id)
        return None if rows is None else list(rows)

    def check_history(self, trial_id: str) -> None:
        """Check the trial's history, if it has one, row by row.

        Raises
        ------
        DamagedFile
            As `history`.
        """
        for _ in self._rows(trial_id) or ():
            pass

    def _rows(self, trial_id: str) -> Iterator[HistoryRow] | None:
        finished, counted = self._finished(trial_id)
        content = self.content(trial_id, HISTORY, LONGEST_HISTORY)
        if content is None:
            return None
        if not finished and not content.endswith(b"\n"):
            content = content[: content.rfind(b"\n") + 1]  # its last row is being written
        return self._parsed(trial_id, content, counted)

    def _parsed(self, trial_id: str, content: bytes, counted: int | None) -> Iterator[HistoryRow]:
        """Yield the rows of a history; see `history` on what it raises."""
        path, number = self.root / trial_id / HISTORY, 0
        for number, line in enumerate(BytesIO(content), start=1):
            try:
                yield HistoryRow.from_values(parse_json(line))
            except ValueError as error:
                raise DamagedFile(f"{path}, line {number}: {error}") from None
        if counted not in (None, number):
            raise DamagedFile(f"{path}: the result counts {counted} rows, and it has {number}")

    def _finished(self, trial_id: str) -> tuple[bool, int | None]:
        """Return whether there is a result, readable or not, and the rows that its history had, where it says so."""
        try:
            result = self.result(trial_id)
        except DamagedFile:  # which whoever asks for the result is told
            return True, None
        return result is not None, None if result is None else result.history_rows

    def origin(self, trial_id: str) -> Origin | None:
        """Return the archive that the trial's result was unpacked from; None where nothing readable says that it was.

        A record of another result is none: the trial has run here since.
        """
        try:
            record = self.content(trial_id, ORIGIN, LARGEST_ORIGIN)
            origin = None if record is None else Origin.from_bytes(record)
            if origin is None or not origin.is_of(self.content(trial_id, RESULT, LARGEST_RESULT)):
                return None
        except (DamagedFile, ValueError):
            return None
        return origin

    def results(self) -> Iterator[Result | Problem]:
        """Yield every result, and a `Problem` for every file that should be one and is not."""
        for trial_id in self.trial_ids():
            try:
                result = self.result(trial_id)
            except DamagedFile as damage:
                yield Problem(self.root / trial_id / RESULT, str(damage))
            else:
                if result is not None:
                    yield result

    def find(self, prefix: str) -> str:
        """Return the one trial id that starts with `prefix`.

        Raises
        ------
        UserError
            None does, or several do.
        """
        ids = [trial_id for trial_id in self.trial_ids() if prefix and trial_id.startswith(prefix)]
        if len(ids) == 1:
            return ids[0]
        what = f"{len(ids)} trials start with it: {', '.join(ids[:5])}" if ids else "no trial starts with it"
        raise UserError(f"ID {prefix!r}: {what} in {self.root}")
