"""Write the histories of a stack's trials while they train, at a bounded rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.store.live_history import LiveHistory
from irm_sweeps.store.store import NotStorable, Store

SECONDS = 10.0
"""Least time between two writes of a stack; a stack that takes less writes none."""
SHARE = 200
"""A write that took so long is followed by at least this many times as long without one: half a percent."""


class LiveRows:
    """Writes the rows that a stack's trials have logged, now and then.

    That they cannot be written, or read back, ends no trial: it is said once in the logs, and the result decides.

    Parameters
    ----------
    write_log
        Writes a line into the logs of the stack's trials.
    """

    def __init__(self, store: Store, write_log: Callable[[str], None], *, seconds: float = SECONDS) -> None:
        self._store, self._write_log, self._seconds = store, write_log, seconds
        self._due = time.monotonic() + seconds
        self._by_trial: dict[str, LiveHistory] = {}
        self._failed = False

    def is_due(self) -> bool:
        """Return whether rows should be written now."""
        return not self._failed and time.monotonic() >= self._due

    def write(self, histories: Mapping[str, Sequence[Mapping[str, Any]]], began: float) -> None:
        """Write the new rows of the stack's trials.

        Parameters
        ----------
        histories
            The whole history so far by trial id.
        began
            When the work for this write began, by `time.monotonic`.
        """
        try:
            for trial_id, history in histories.items():
                if trial_id not in self._by_trial:
                    self._by_trial[trial_id] = LiveHistory(self._store, trial_id)
                self._by_trial[trial_id].write(history)
        except (OSError, StoreError, NotStorable) as error:
            self._failed = True
            self._write_log(f"no more rows of the history are written before the result: {error}")
        ended = time.monotonic()
        self._due = ended + max(self._seconds, SHARE * (ended - began))
