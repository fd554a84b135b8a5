"""The heartbeat of a worker: its claims are renewed all the time, so that nobody takes it for dead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Self

from irm_sweeps.errors import StoreError
from irm_sweeps.store.claims import Claim


class Heartbeat:
    """Renews claims from a thread of its own while the block runs.

    Parameters
    ----------
    held
        Claims on the trials that are being trained.
    waiting
        Claims on the trials that this worker trains next.
    seconds
        Time between two renewals.
    write_log
        Writes a line into the logs of the trials that are being trained.

    Attributes
    ----------
    step, steps
        How far the training is, which the renewed claims tell.
    lost
        Whether another worker has taken over one of the trials that are being trained.


    """

    def __init__(
        self, held: Sequence[Claim], waiting: Sequence[Claim], *, seconds: float, write_log: Callable[[str], None]
    ) -> None:
        self._held, self._waiting = list(held), list(waiting)
        self._seconds, self._write_log = seconds, write_log
        self.step, self.steps = 0, held[0].steps
        self.lost = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def drop(self, dropped: Claim) -> None:
        """Renew a claim no more; once this returns, no renewal of it is under way."""
        with self._lock:
            self._held = [claim for claim in self._held if claim.path != dropped.path]

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                with self._lock:
                    latest = [claim for claim in self._held if claim.is_latest()]
                    self.lost = self.lost or len(latest) < len(self._held)
                    self._held = [claim.renew(self.step, self.steps) for claim in latest]
                self._waiting = [claim.renew(0) for claim in self._waiting if claim.is_latest()]
            except (OSError, StoreError) as error:
                self._write_log(f"heartbeat: {error}")
