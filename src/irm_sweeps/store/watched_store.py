"""A store that is looked at again and again: a result is parsed once, until its file is another one."""

from __future__ import annotations

import os
from pathlib import Path

from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store


class WatchedStore(Store):
    """A results directory whose finished trials cost one `stat` at each look.

    Attributes
    ----------
    changes
        How many results were new, replaced or gone so far.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.changes = 0
        self._seen: dict[str, tuple[tuple[int, int, int], Result]] = {}

    def result(self, trial_id: str) -> Result | None:
        """Return the trial's result, or None if it has none.

        Raises
        ------
        DamagedFile
            As `Reader.result`.
        """
        identity = self._identity(trial_id)
        seen = self._seen.get(trial_id)
        if seen is not None and seen[0] == identity:
            return seen[1]
        result = super().result(trial_id)
        if self._seen.pop(trial_id, None) is not None or result is not None:
            self.changes += 1
        if result is not None and identity is not None:
            self._seen[trial_id] = (identity, result)
        return result

    def _identity(self, trial_id: str) -> tuple[int, int, int] | None:
        """Return inode, size and time of the result's file; None where there is none or it may not be asked."""
        try:
            status = os.lstat(self.folder(trial_id) / RESULT)
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
