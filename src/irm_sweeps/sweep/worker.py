"""A worker: claims the next unfinished stack of a sweep, trains it, writes the results, and goes on."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from irm_sweeps.errors import StoreError
from irm_sweeps.sweep import claims
from irm_sweeps.sweep.claims import Claim
from irm_sweeps.sweep.files import write_atomically
from irm_sweeps.sweep.log import TrialLog, tail
from irm_sweeps.sweep.manifest import Manifest
from irm_sweeps.sweep.process import HEARTBEAT_SECONDS
from irm_sweeps.sweep.result import crashed, failed, finished
from irm_sweeps.sweep.store import Store
from irm_sweeps.training.checkpoint import BadCheckpoint, pack, unpack
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

MAX_DEATHS = 2
"""A trial whose workers died this often in one launch, without progress in between, has failed."""


class Interrupted(BaseException):
    """The worker was asked to stop; what it was training is checkpointed and released."""


class Lost(Exception):
    """Another worker has taken the trials over: this one was taken for dead, and writes nothing more."""


@dataclass
class Tally:
    """What a worker has done."""

    completed: int = 0
    diverged: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def trials(self) -> int:
        """Trials that got a result."""
        return self.completed + self.diverged + self.failed


class _Keeper:
    """Between steps: renew the claims, save checkpoints when due, and stop when asked to."""

    def __init__(self, worker: Worker, held: Sequence[Claim]) -> None:
        self._worker, self._held = worker, list(held)
        self._saved = time.monotonic()
        self.step = 0
        self._stop = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> _Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._worker.heartbeat_seconds):
            try:
                self._lost = self._lost or not all(claim.is_latest() for claim in self._held)
                if not self._lost:
                    self._held = [claim.renew(self.step) for claim in self._held]
            except (OSError, StoreError) as error:
                self._worker.log.write(f"heartbeat: {error}")

    def after_step(self, training: StackTraining) -> None:
        self.step = training.step
        if self._lost:
            raise Lost
        due = time.monotonic() - self._saved >= self._worker.checkpoint_seconds
        if self._worker.stop_requested.is_set() or due:
            self._worker.save(training)
            self._saved = time.monotonic()
        if self._worker.stop_requested.is_set():
            raise Interrupted


class Worker:
    """Works on one sweep, in this process.

    Parameters
    ----------
    report
        Called with each trial's result as soon as it is written.
    capture
        Whether what is printed while training goes to the trial's log; false where a terminal is watching.

    Attributes
    ----------
    stop_requested
        Set it (from a signal handler, say) to stop after the current step, with a checkpoint.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        device: torch.device,
        *,
        report: Callable[[dict[str, Any]], None] = lambda result: None,
        capture: bool = True,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.store, self.manifest, self.device = store, manifest, device
        self.data_dir = Path(manifest.settings["data_dir"])
        self.checkpoint_seconds = float(manifest.settings["checkpoint_seconds"])
        self.heartbeat_seconds = heartbeat_seconds
        self.stop_requested = threading.Event()
        self.tally = Tally()
        self.log = TrialLog([])
        self._report, self._capture = report, capture

    def work(self) -> Tally:
        """Run everything that nobody else has done or is doing.

        Raises
        ------
        Interrupted
            `stop_requested` was set.
        StoreError
            The store cannot be written: disk full, folder gone.
        """
        for stack in self.manifest.stacks:
            if self.stop_requested.is_set():
                raise Interrupted
            if self._should_stop_on_error():
                break
            self._work_on(stack)
        return self.tally

    def _should_stop_on_error(self) -> bool:
        marker = self.manifest.folder(self.store) / f"stop.{self.manifest.launch}"
        if self.manifest.settings["on_error"] != "stop":
            return False
        if self.tally.failed:
            marker.touch()
        return marker.exists()

    def _work_on(self, stack: Sequence[str]) -> None:
        held = []
        for trial_id in stack:
            steps = int(self.manifest.trials[trial_id]["training"]["steps"])
            claim = claims.acquire(self.store, trial_id, self.manifest.launch, steps, len(stack))
            if claim is not None:
                held.append(claim)
        groups: dict[int, list[Claim]] = {}
        for claim in held:
            if claim.deaths >= MAX_DEATHS:
                self._give_up(claim)
            else:
                # A trial that has killed its worker once is retried by itself, so that it harms no other.
                key = self._checkpoint_step(claim) if not claim.deaths else -1 - claim.n
                groups.setdefault(key, []).append(claim)
        try:
            for group in groups.values():
                self._train(group)
        finally:
            for claim in held:
                if claim.path.exists() and claim.is_latest():
                    claim.release(0)

    def _trial(self, claim: Claim) -> Trial:
        return Trial.from_config(self.manifest.trials[claim.path.parent.name])

    def _give_up(self, claim: Claim) -> None:
        trial = self._trial(claim)
        self._write(trial, crashed(trial, claim.deaths, tail(claim.path.parent / "log.txt")), [])

    def _train(self, held: Sequence[Claim]) -> None:
        """Train the trials of these claims as one stack; if that fails, as two halves, and so on."""
        self.log = TrialLog([claim.path.parent for claim in held])
        trials = [self._trial(claim) for claim in held]
        try:
            self._train_stack(held, trials)
        except Lost:
            self.log.write("another worker has taken over: nothing more is written here")
        except StoreError:
            raise
        except Exception as error:
            if len(held) > 1:
                self.log.write(f"a stack of {len(held)} failed ({type(error).__name__}: {error}): trying two halves")
                del error
                self._free_memory()
                middle = len(held) // 2
                self._train(held[:middle])
                self._train(held[middle:])
            else:
                result = failed(trials[0], error)
                self.log.write(result["error"]["details"])
                self._write(trials[0], result, [])

    def _free_memory(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _train_stack(self, held: Sequence[Claim], trials: Sequence[Trial]) -> None:
        self.log.write(
            f"stack of {len(trials)} on {self.device} in process {held[0].holder.pid} on {held[0].holder.host}"
        )
        with self.log.capture() if self._capture else nullcontext(), _Keeper(self, held) as keeper:
            training = StackTraining(trials, self.data_dir, self.device)
            self._resume(training)
            outcomes = training.run(keeper)
        for claim, trial, outcome in zip(held, trials, outcomes, strict=True):
            if claim.is_latest():
                self._write(trial, finished(trial, outcome, self.data_dir, self.device), outcome.history)

    def _write(self, trial: Trial, result: dict[str, Any], history: Sequence[dict[str, Any]]) -> None:
        self.store.write_result(result, history)
        claims.clear(self.store, trial.id)
        setattr(self.tally, result["status"], getattr(self.tally, result["status"]) + 1)
        TrialLog([self.store.folder(trial.id)]).write(result["status"])
        self._report(result)

    def save(self, training: StackTraining) -> None:
        """Write a checkpoint of every trial of the stack."""
        for i, trial in enumerate(training.trials):
            content = pack(trial.id, *training.state(i))
            write_atomically(self.store.folder(trial.id) / "checkpoint.safetensors", content)

    def _read_checkpoint(self, trial_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        path = self.store.folder(trial_id) / "checkpoint.safetensors"
        try:
            return unpack(trial_id, path.read_bytes())
        except FileNotFoundError:
            return None
        except (BadCheckpoint, OSError) as error:
            self.log.write(f"{path} is damaged ({error}): the trial starts from its beginning")
            return None

    def _checkpoint_step(self, claim: Claim) -> int:
        checkpoint = self._read_checkpoint(claim.path.parent.name)
        return int(checkpoint[1]["step"]) if checkpoint else 0

    def _resume(self, training: StackTraining) -> None:
        found = [self._read_checkpoint(trial.id) for trial in training.trials]
        states = [state for state in found if state is not None]
        if len(states) == len(found) and len({state[1]["step"] for state in states}) == 1:
            training.restore(states)
            self.log.write(f"resumed at step {training.step}")

