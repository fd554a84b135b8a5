"""Notice when workers end one after another and no trial gets a result."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from irm_sweeps.errors import UserError
from irm_sweeps.launchers.watch_results import ResultWatcher
from irm_sweeps.launchers.worker_logs import complaints_of_ended_workers
from irm_sweeps.store.liveness import Process
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store

FRUITLESS_ENDS = 4
"""So many workers more than there are slots may end in a row without a result while there is work for them."""


class Turnover:
    """Counts the workers that have ended since the last new result although there was work for them.

    A worker that died while it trained is not counted: after two deaths the trial has failed, which is a result.
    """

    def __init__(self, store: Store, manifest: Manifest, slots: int) -> None:
        self._store, self._manifest = store, manifest
        self._limit = slots + FRUITLESS_ENDS
        self._fruitless = 0
        self._said = False

    def update(self, new_results: int, ended: Sequence[Process | None], watcher: ResultWatcher) -> None:
        """Count the workers that have ended since the last call.

        Parameters
        ----------
        ended
            Their processes; None for one that ended before its process was known.
        """
        if new_results:
            self._fruitless, self._said = 0, False
            return
        for process in ended:
            died = process is not None and watcher.counts_as_death(process)
            if not died and watcher.unclaimed(at_most=1):
                self._fruitless += 1

    def is_fruitless(self, *, any_at_work: bool) -> bool:
        """Return whether no more workers are to be started for now; the first time, say so.

        Raises
        ------
        UserError
            None is at work any more, so no result will come.
        """
        if self._fruitless < self._limit:
            return False
        if not any_at_work:
            raise UserError(f"{self._in_words()}; the trials that are left would end the next ones too")
        if not self._said:
            print(f"{self._in_words()}; no more are started unless one at work brings a result", file=sys.stderr)
            self._said = True
        return True

    def _in_words(self) -> str:
        complaints = list(complaints_of_ended_workers(self._store, self._manifest))
        last = f"their last message: {complaints[-1]}" if complaints else "and left no message"
        folder = self._manifest.folder(self._store) / "jobs"
        return f"{self._fruitless} workers have ended one after another without a new result, {last} (logs: {folder})"
