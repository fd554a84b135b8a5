"""What a training's claims need while it runs: a heartbeat, checkpoints in time, and an end when it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from irm_sweeps.errors import StoreError
from irm_sweeps.store.claims import Claim

if TYPE_CHECKING:
    from irm_sweeps.training.loop import StackTraining


class Interrupted(BaseException):
    """The worker was asked to stop; what it was training is checkpointed and released."""


class Lost(Exception):
    """Another worker has taken the trials over: this one was taken for dead, and writes nothing more."""


class Keeper:
    """Renews the claims from a thread of its own; between steps, saves checkpoints when due and stops when asked to.

    Parameters
    ----------
    held
        Claims on the trials that are being trained.
    waiting
        Claims on those that this worker trains next.
    save
        Writes a checkpoint of every trial of the stack.
    say
        Writes a line into the trials' logs.
    """

    def __init__(
        self,
        held: Sequence[Claim],
        waiting: Sequence[Claim],
        *,
        heartbeat_seconds: float,
        checkpoint_seconds: float,
        stop_requested: threading.Event,
        save: Callable[[StackTraining], None],
        say: Callable[[str], None],
    ) -> None:
        self._held, self._waiting = list(held), list(waiting)
        self._heartbeat_seconds, self._checkpoint_seconds = heartbeat_seconds, checkpoint_seconds
        self._stop_requested, self._save, self._say = stop_requested, save, say
        self._saved = time.monotonic()
        self.step, self.steps = 0, held[0].steps
        self._stop = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_seconds):
            try:
                self._lost = self._lost or not all(claim.is_latest() for claim in self._held)
                if not self._lost:
                    self._held = [claim.renew(self.step, self.steps) for claim in self._held]
                self._waiting = [claim.renew(0) for claim in self._waiting if claim.is_latest()]
            except (OSError, StoreError) as error:
                self._say(f"heartbeat: {error}")

    def after_step(self, training: StackTraining) -> None:
        """Do what is due between two steps.

        Raises
        ------
        Lost
            Another worker has taken a trial over.
        Interrupted
            The worker was asked to stop, and has saved where it stands.
        """
        self.step, self.steps = training.step, training.steps
        if self._lost:
            raise Lost
        due = time.monotonic() - self._saved >= self._checkpoint_seconds
        if self._stop_requested.is_set() or due:
            if not all(claim.is_latest() for claim in self._held):
                raise Lost
            self._save(training)
            self._saved = time.monotonic()
        if self._stop_requested.is_set():
            raise Interrupted
