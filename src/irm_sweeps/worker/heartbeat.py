"""The heartbeat of a worker: its claims are renewed all the time, so that nobody takes it for dead."""

from __future__ import annotations

import threading
import time
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
    lost
        Whether another worker has taken over one of the trials that are being trained.
    """

    def __init__(
        self, held: Sequence[Claim], waiting: Sequence[Claim], *, seconds: float, write_log: Callable[[str], None]
    ) -> None:
        self._held, self._waiting = list(held), list(waiting)
        self._seconds, self._write_log = seconds, write_log
        self._step, self._steps = 0, held[0].steps if held else 0
        self._last_step = time.monotonic()
        self._first, self._longest_step = True, 0.0
        self._first_step, self._first_ended = 0, 0.0
        self.lost = False
        self._ended = threading.Event()
        self._renewing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def note_step(self, step: int, steps: int) -> None:
        """Note how far the training is, which the renewed claims tell, and how long the step took.

        The first step may compile or download: its time is not counted among those of the steps.
        """
        now = time.monotonic()
        if self._first:
            self._first_step, self._first_ended = step, now
        else:
            self._longest_step = max(self._longest_step, now - self._last_step)
        self._first, self._last_step, self._step, self._steps = False, now, step, steps

    def __enter__(self) -> Self:
        self._last_step = time.monotonic()
        self._thread.start()
        _beating.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        _beating.discard(self)
        self._ended.set()
        self._thread.join()

    def give_up(self, reason: str) -> list[str]:
        """Write `reason` into the logs, release the claims on the trials that wait, and return the ids of the others.

        The trials in training stay claimed to the end of this process, which thereby counts as a death of their worker.
        """
        with self._renewing:
            self._ended.set()
            for claim in self._waiting:
                if claim.is_latest():
                    claim.release(0)
            self._waiting = []
        self._write_log(reason)
        return [claim.path.parent.name for claim in self._held]

    def drop(self, dropped: Claim) -> None:
        """Renew a claim no more; once this returns, no renewal of it is under way."""
        with self._renewing:
            self._held = [claim for claim in self._held if claim.path != dropped.path]

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                with self._renewing:
                    if not self._ended.is_set():
                        self._renew()
            except (OSError, StoreError) as error:
                self._write_log(f"heartbeat: {error}")

    def _renew(self) -> None:
        latest = [claim for claim in self._held if claim.is_latest()]
        self.lost = self.lost or len(latest) < len(self._held)
        self._held = [self._renewed(claim) for claim in latest]
        self._waiting = [claim.renew(0) for claim in self._waiting if claim.is_latest()]

    def _renewed(self, claim: Claim) -> Claim:
        since_step = round(time.monotonic() - self._last_step, 3)
        return claim.renew(
            self._step, self._steps, since_step, round(self._longest_step, 3) or None, self._seconds_per_step()
        )

    def _seconds_per_step(self) -> float | None:
        done = self._step - self._first_step
        return (self._last_step - self._first_ended) / done if self._first_step and done > 0 else None


_beating: set[Heartbeat] = set()
"""The heartbeats of the stacks that this process trains."""


def give_up_all(reason: str) -> list[str]:
    """Give up what this process trains, as `Heartbeat.give_up`; called by a thread that then ends this process."""
    return [trial_id for heartbeat in list(_beating) for trial_id in heartbeat.give_up(reason)]
