"""A worker: claims the next unfinished stack of a sweep, trains it, writes the results, and goes on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from irm_sweeps.device import is_lost
from irm_sweeps.errors import StoreError, UserError, one_line
from irm_sweeps.files.atomic import FAULTS, write_once
from irm_sweeps.process_state import fresh_state
from irm_sweeps.provenance import git_state
from irm_sweeps.store import claims
from irm_sweeps.store.checkpoints import CannotGoOn, State, read_checkpoint, save_checkpoint
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.finished import Finished
from irm_sweeps.store.liveness import HEARTBEAT_SECONDS
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import TrialLog, tail
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.training.moves import CannotCompile, forget_programs
from irm_sweeps.trial import Trial
from irm_sweeps.worker.keeper import Interrupted, Keeper, Lost
from irm_sweeps.worker.log_forwarding import Feed
from irm_sweeps.worker.outcome import crashed, failed, finished
from irm_sweeps.worker.stack_order import Stack, try_each, try_untouched

MAX_DEATHS = 2
"""A trial whose workers died this often in one launch, without progress in between, has failed."""


class _StopOnError(Exception):
    """A trial of this launch has failed, and `on_error=stop`."""


class DeviceLost(UserError):
    """The GPU answers this process no more, whatever is asked of it: only another process can go on.

    The claims in hand are not released: this counts as a death of their worker, as a crash would.
    """


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


def _ignore(result: Result) -> None:
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
        report: Callable[[Result], None] = _ignore,
        capture: bool = True,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stop_requested: threading.Event | None = None,
    ) -> None:
        self.store, self.manifest, self.device = store, manifest, device
        self.data_dir = Path(manifest.settings.data_dir)
        self._compiled, self._kind = manifest.settings.compile, ""
        self.checkpoint_seconds = manifest.settings.checkpoint_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.stop_requested = stop_requested or threading.Event()
        self.tally = Tally()
        self.log = TrialLog([])
        self._feed: Feed | None = None
        self._finished = Finished(store, manifest)
        self._report, self._capture = report, capture
        self._unreported: list[Result] = []
        self._told_before: set[str] = set()
        self._in_doubt = False
        git_state()  # asked now, and kept: what has been imported is what lies there

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
        if self.manifest.settings.on_error != "stop":
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
        except DeviceLost:
            held.clear()
            raise
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
            return
        except Lost:
            self.log.write("another worker has taken over: nothing more is written here")
            return
        except StoreError:
            raise
        except CannotCompile as error:
            self.log.write(f"not trained: {error}")
            if self.stop_requested.is_set():  # a stop that reaches the compiler too
                raise Interrupted from None
            raise
        except (Exception, SystemExit) as error:  # signals raise neither: they ask, see `stop_requested`
            if isinstance(error, OSError) and error.errno in FAULTS:
                raise StoreError(f"trial {trials[0].id} cannot go on: {error}") from error
            if is_lost(self.device):
                self.log.write(f"{self.device} is lost to this process: {error}")
                raise DeviceLost(f"{self.device} is lost to this process: {one_line(str(error))}") from None
            if len(held) == 1:
                result = failed(trials[0], error)
                self.log.write(result["error"]["details"])
                if held[0].is_latest():
                    self._write(trials[0], result, [])
                return
            self.log.write(f"a stack of {len(held)} failed ({type(error).__name__}: {error}): trying two halves")
        # Not while the error is handled: its traceback holds on to all that the stack has in memory.
        self._free_memory()
        middle = len(held) // 2
        self._train(held[:middle], [*held[middle:], *waiting])
        self._train(held[middle:], waiting)

    def _free_memory(self) -> None:
        if self._compiled:
            forget_programs()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _train_stack(self, held: Sequence[Claim], trials: Sequence[Trial], waiting: Sequence[Claim]) -> None:
        self.log.write(
            f"stack of {len(trials)} on {self.device} in process {held[0].holder.pid} on {held[0].holder.host}"
        )
        logger = self.manifest.settings.logger
        with Feed(logger, self.manifest.name, self.log.write, self.store.own_folder) as self._feed:
            keeping = Keeper(
                held,
                waiting,
                heartbeat_seconds=self.heartbeat_seconds,
                checkpoint_seconds=self.checkpoint_seconds,
                stop_requested=self.stop_requested,
                save=self.save,
                say=self.log.write,
            )
            with self.log.capture() if self._capture else nullcontext(), keeping as keeper, fresh_state():
                outcomes = self._resumed(trials).run(keeper)
            stack = [trial.id for trial in trials]
            for claim, trial, outcome in zip(held, trials, outcomes, strict=True):
                if claim.is_latest():
                    result = finished(trial, outcome, self.data_dir, self.device, stack, self._compiled)
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
        self._unreported.append(Result.from_values(result))

    def save(self, training: StackTraining) -> None:
        """Write a checkpoint of every trial of the stack, and tell the logger."""
        for i, trial in enumerate(training.trials):
            tensors, plain = training.state(i)
            save_checkpoint(self.store, trial, tensors, plain)
            if self._feed is not None:
                self._feed.rows(trial, plain["history"])

    def _checkpoint_step(self, claim: Claim) -> int:
        try:
            found = read_checkpoint(self.store, claim.path.parent.name, lambda: self._trial(claim))
        except CannotGoOn:  # which is said when the trial begins
            return 0
        return int(found[1]["step"]) if found else 0

    def _checkpoint_of(self, trial: Trial) -> State | None:
        try:
            return read_checkpoint(self.store, trial.id, lambda: trial)
        except CannotGoOn as error:
            self.log.write(f"{error}: the trial starts from its beginning")
            return None

    def _resumed(self, trials: Sequence[Trial]) -> StackTraining:
        """Return the trials' training, at the step of their checkpoints if all stand at one."""
        if self._compiled and self.device.type == "cuda" and trials[0].kind != self._kind:
            forget_programs()  # their graphs keep memory
        self._kind = trials[0].kind
        training = StackTraining(trials, self.data_dir, self.device, compiled=self._compiled)
        found = [self._checkpoint_of(trial) for trial in training.trials]
        states = [state for state in found if state is not None]
        if len(states) < len(found) or len({state[1]["step"] for state in states}) != 1:
            return training
        try:
            training.restore(states)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whole, but another version's
            self.log.write(f"the checkpoint does not fit ({error!r}): the trial starts from its beginning")
        else:
            self.log.write(f"resumed at step {training.step}")
            return training
        del training  # its memory is the next one's
        return StackTraining(trials, self.data_dir, self.device, compiled=self._compiled)
