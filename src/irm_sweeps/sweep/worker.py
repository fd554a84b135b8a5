"""A worker: claims the next unfinished stack of a sweep, trains it, writes the results, and goes on."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from irm_sweeps.errors import StoreError
from irm_sweeps.sweep import claims
from irm_sweeps.sweep.claims import Claim
from irm_sweeps.sweep.feed import Feed
from irm_sweeps.sweep.files import FAULTS, read_fresh, write_atomically, write_once
from irm_sweeps.sweep.finished import Finished
from irm_sweeps.sweep.log import TrialLog, tail
from irm_sweeps.sweep.manifest import Manifest
from irm_sweeps.sweep.process import HEARTBEAT_SECONDS
from irm_sweeps.sweep.result import crashed, failed, finished
from irm_sweeps.sweep.store import Store
from irm_sweeps.sweep.turns import Stack, try_each, try_untouched
from irm_sweeps.training.checkpoint import LARGEST, BadCheckpoint, pack, unpack
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

MAX_DEATHS = 2
"""A trial whose workers died this often in one launch, without progress in between, has failed."""


class Interrupted(BaseException):
    """The worker was asked to stop; what it was training is checkpointed and released."""


class _StopOnError(Exception):
    """A trial of this launch has failed, and `on_error=stop`."""


class Lost(Exception):
    """Another worker has taken the trials over: this one was taken for dead, and writes nothing more."""


@dataclass
class Tally:
    """What a worker has done."""

    completed: int = 0
    diverged: int = 0
    failed: int = 0

    @property
    def trials(self) -> int:
        """Trials that got a result."""
        return self.completed + self.diverged + self.failed


class _Keeper:
    """Between steps: renew the claims, save checkpoints when due, and stop when asked to."""

    def __init__(self, worker: Worker, held: Sequence[Claim], waiting: Sequence[Claim]) -> None:
        self._worker, self._held, self._waiting = worker, list(held), list(waiting)
        self._saved = time.monotonic()
        self.step, self.steps = 0, held[0].steps
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
                    self._held = [claim.renew(self.step, self.steps) for claim in self._held]
                self._waiting = [claim.renew(0) for claim in self._waiting if claim.is_latest()]
            except (OSError, StoreError) as error:
                self._worker.log.write(f"heartbeat: {error}")

    def after_step(self, training: StackTraining) -> None:
        self.step, self.steps = training.step, training.steps
        if self._lost:
            raise Lost
        due = time.monotonic() - self._saved >= self._worker.checkpoint_seconds
        if self._worker.stop_requested.is_set() or due:
            if not all(claim.is_latest() for claim in self._held):
                raise Lost
            self._worker.save(training)
            self._saved = time.monotonic()
        if self._worker.stop_requested.is_set():
            raise Interrupted


def _ignore(result: dict[str, Any]) -> None:
    del result


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
        report: Callable[[dict[str, Any]], None] = _ignore,
        capture: bool = True,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stop_requested: threading.Event | None = None,
    ) -> None:
        self.store, self.manifest, self.device = store, manifest, device
        self.data_dir = Path(manifest.settings["data_dir"])
        self.checkpoint_seconds = float(manifest.settings["checkpoint_seconds"])
        self.heartbeat_seconds = heartbeat_seconds
        self.stop_requested = stop_requested or threading.Event()
        self.tally = Tally()
        self.log = TrialLog([])
        self._feed: Feed | None = None
        self._finished = Finished(store, manifest)
        self._report, self._capture = report, capture
        self._unreported: list[dict[str, Any]] = []
        self._told_before: set[str] = set()
        self._in_doubt = False

    def work(self) -> Tally:
        """Run everything that nobody else has done or is doing.

        What nobody has begun comes first. Then what other workers have released or died on is tried, until a
        round brings nothing. Where it is not yet certain that another worker is dead, this one waits until it is.

        Raises
        ------
        Interrupted
            `stop_requested` was set.
        StoreError
            The store cannot be written: disk full, folder gone.
        """
        self._told_before = self._finished.trial_ids()
        with suppress(_StopOnError):
            try_untouched(self.store, self.manifest.stacks, self._attempt)
            while stacks := self._unfinished():
                before, self._in_doubt = self.tally.trials, False
                try_each(stacks, self._attempt_begun)
                if self.tally.trials == before:
                    if not self._in_doubt:
                        break
                    self.stop_requested.wait(self.heartbeat_seconds)
        return self.tally

    def _attempt(self, stack: Stack) -> bool:
        if self.stop_requested.is_set():
            raise Interrupted
        if self._should_stop_on_error():
            raise _StopOnError
        return self._work_on(stack)

    def _attempt_begun(self, stack: Stack) -> bool:
        """Attempt a stack, unless its first and its last open trial are in others' hands: then all of it is."""
        ends = [next((i for i in ids if not self.store.has_result(i)), None) for ids in (stack, stack[::-1])]
        for trial_id in filter(None, dict.fromkeys(ends)):
            claim = claims.current(self.store, trial_id)
            if claim is None or not claim.is_in_force():
                return self._attempt(stack)
            self._in_doubt = self._in_doubt or claim.is_doubtful()
        return False

    def _unfinished(self) -> list[Stack]:
        told = self._finished.trial_ids() - self._told_before  # those may have been removed since
        return [
            stack
            for stack in self.manifest.stacks
            if not all(trial_id in told or self.store.has_result(trial_id) for trial_id in stack)
        ]

    def _should_stop_on_error(self) -> bool:
        marker = self.manifest.stop_marker(self.store)
        if self.manifest.settings["on_error"] != "stop":
            return False
        if self.tally.failed:
            write_once(marker, b"", durable=False)
        return marker.exists()

    def _work_on(self, stack: Stack) -> bool:
        """Train what is free of a stack; return whether anything was."""
        left, found = list(stack), False
        while left:
            with self._claims(left) as held:
                found = found or bool(held)
                together, later = self._next_group(held)
                for claim in later:
                    claim.release(0)
                if together and together[0].deaths >= MAX_DEATHS:
                    self._give_up(together[0])
                elif together:
                    self._train(together)
            self._report_results()
            left = [claim.path.parent.name for claim in later]
        return found

    def _report_results(self) -> None:
        # Not while training: a terminal that is gone is no failure of the trial.
        while self._unreported:
            self._report(self._unreported.pop(0))

    def _next_group(self, held: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
        """Return the claims to train next, which stand at one step, and the others.

        A trial that may have killed its worker comes last and alone: no other trial is then in the same hands.
        """
        innocent = [claim for claim in held if not claim.deaths]
        if not innocent:
            return list(held[:1]), list(held[1:])
        steps = [self._checkpoint_step(claim) for claim in innocent]
        together = [claim for claim, step in zip(innocent, steps, strict=True) if step == steps[0]]
        return together, [claim for claim in held if claim not in together]

    @contextmanager
    def _claims(self, trial_ids: Sequence[str]) -> Iterator[list[Claim]]:
        """Claim what is free of these trials; what is still held at the end is given up."""
        held = []
        try:
            for trial_id in trial_ids:
                steps = int(self.manifest.trials[trial_id]["training"]["steps"] or 0)
                claim = claims.acquire(self.store, trial_id, self.manifest.launch, steps, len(trial_ids))
                if claim is not None:
                    held.append(claim)
            yield held
        finally:
            for claim in held:
                with suppress(StoreError):  # where the disk is full, this process's end releases it
                    if claim.path.exists() and claim.is_latest():
                        claim.release(0)

    def _trial(self, claim: Claim) -> Trial:
        return Trial.from_config(self.manifest.trials[claim.path.parent.name])

    def _give_up(self, claim: Claim) -> None:
        trial = self._trial(claim)
        self._write(trial, crashed(trial, claim.deaths, tail(claim.path.parent / "log.txt")), [])

    def _train(self, held: Sequence[Claim], waiting: Sequence[Claim] = ()) -> None:
        """Train the trials of these claims as one stack; if that fails, as two halves, and so on."""
        held = [claim for claim in held if claim.is_latest()]
        if not held:
            return
        self.log = TrialLog([claim.path.parent for claim in held])
        trials = [self._trial(claim) for claim in held]
        try:
            self._train_stack(held, trials, waiting)
        except Lost:
            self.log.write("another worker has taken over: nothing more is written here")
        except StoreError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FAULTS:
                raise StoreError(f"trial {trials[0].id} cannot go on: {error}") from error
            if len(held) > 1:
                self.log.write(f"a stack of {len(held)} failed ({type(error).__name__}: {error}): trying two halves")
                del error
                self._free_memory()
                middle = len(held) // 2
                self._train(held[:middle], [*held[middle:], *waiting])
                self._train(held[middle:], waiting)
            else:
                result = failed(trials[0], error)
                self.log.write(result["error"]["details"])
                if held[0].is_latest():
                    self._write(trials[0], result, [])

    def _free_memory(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _train_stack(self, held: Sequence[Claim], trials: Sequence[Trial], waiting: Sequence[Claim]) -> None:
        self.log.write(
            f"stack of {len(trials)} on {self.device} in process {held[0].holder.pid} on {held[0].holder.host}"
        )
        with Feed(self.manifest.settings.get("logger"), self.manifest.name, self.log.write) as self._feed:
            with self.log.capture() if self._capture else nullcontext(), _Keeper(self, held, waiting) as keeper:
                outcomes = self._resumed(trials).run(keeper)
            stack = [trial.id for trial in trials]
            for claim, trial, outcome in zip(held, trials, outcomes, strict=True):
                if claim.is_latest():
                    result = finished(trial, outcome, self.data_dir, self.device, stack)
                    self._write(trial, result, outcome.history)
                    self._feed.finish(trial, outcome.history, result)

    def _write(self, trial: Trial, result: dict[str, Any], history: Sequence[dict[str, Any]]) -> None:
        written = self.store.write_result(result, history)
        claims.clear(self.store, trial.id)
        self._finished.add(trial.id)
        log = TrialLog([self.store.folder(trial.id)])
        if not written:
            log.write("another worker has written the result first: it stays")
            return
        setattr(self.tally, result["status"], getattr(self.tally, result["status"]) + 1)
        log.write(result["status"])
        self._unreported.append(result)

    def save(self, training: StackTraining) -> None:
        """Write a checkpoint of every trial of the stack, and tell the logger."""
        for i, trial in enumerate(training.trials):
            tensors, plain = training.state(i)
            write_atomically(self.store.folder(trial.id) / "checkpoint.safetensors", pack(trial.id, tensors, plain))
            if self._feed is not None:
                self._feed.rows(trial, plain["history"])

    def _read_checkpoint(self, trial_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        path = self.store.folder(trial_id) / "checkpoint.safetensors"
        try:
            return unpack(trial_id, read_fresh(path, LARGEST))
        except FileNotFoundError:
            return None
        except (BadCheckpoint, OSError) as error:
            self.log.write(f"{path} is damaged ({error}): the trial starts from its beginning")
            return None

    def _checkpoint_step(self, claim: Claim) -> int:
        checkpoint = self._read_checkpoint(claim.path.parent.name)
        return int(checkpoint[1]["step"]) if checkpoint else 0

    def _resumed(self, trials: Sequence[Trial]) -> StackTraining:
        """Return the trials' training, at the step of their checkpoints if all stand at one."""
        training = StackTraining(trials, self.data_dir, self.device)
        found = [self._read_checkpoint(trial.id) for trial in training.trials]
        states = [state for state in found if state is not None]
        if len(states) < len(found) or len({state[1]["step"] for state in states}) != 1:
            return training
        try:
            training.restore(states)
        except Exception as error:  # whole, but another version's
            self.log.write(f"the checkpoint does not fit ({error!r}): the trial starts from its beginning")
            return StackTraining(trials, self.data_dir, self.device)
        self.log.write(f"resumed at step {training.step}")
        return training
