"""One stack of trials while it is trained: its claims, log, logger, heartbeat and checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch

from irm_sweeps.process_state import fresh_state
from irm_sweeps.store.checkpoints import save_checkpoint
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.layout import LOG
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import TrialLog, open_streams
from irm_sweeps.training.checkpoint import BadCheckpoint
from irm_sweeps.training.loop import Outcome, StackTraining
from irm_sweeps.training.moves import CannotCompile, Compiled
from irm_sweeps.trial import Trial
from irm_sweeps.worker.exceptions import Interrupted, Lost
from irm_sweeps.worker.forks import children_end, end_unless
from irm_sweeps.worker.heartbeat import Heartbeat
from irm_sweeps.worker.held_trial import HeldTrial
from irm_sweeps.worker.live_rows import LiveRows
from irm_sweeps.worker.log_forwarding import LogForwarder
from irm_sweeps.worker.outcome import finished
from irm_sweeps.worker.shared_logger import SharedLogger
from irm_sweeps.worker.stall import StallTimer

WriteResult = Callable[[Trial, dict[str, Any], Sequence[dict[str, Any]]], dict[str, Any]]
"""Stores a trial's result and history, and returns the result that was stored."""


class StackRun:
    """Trains one stack, and keeps the store informed meanwhile. A context manager: its claims are renewed in the block.

    At the block's end, when all results are written, the logger's runs that are still open are closed.

    The training loop calls `after_step` between steps: there, checkpoints are saved and rows of the histories written
    when they are due, and a stop is obeyed.

    Parameters
    ----------
    held
        The trials of the stack, which differ in numbers and seed only.
    waiting
        Claims on the trials that this worker trains next, which are renewed too.
    stop_requested
        Set by others to stop after the current step, with a checkpoint.
    logger
        The logger of the worker.
    capture
        Whether what is printed while training goes to the first trial's log.
    stalled
        Called with the trials and the reason before this process ends because the training makes no step.

    Attributes
    ----------
    log
        Writes into the logs of all trials of the stack.
    compiled
        Whether the trials have trained as compiled programs.
    """

    def __init__(
        self,
        held: Sequence[HeldTrial],
        waiting: Sequence[Claim],
        *,
        store: Store,
        manifest: Manifest,
        device: torch.device,
        heartbeat_seconds: float,
        checkpoint_seconds: float,
        stop_requested: threading.Event,
        logger: SharedLogger,
        capture: bool,
        compiled: Compiled,
        stalled: Callable[[Sequence[HeldTrial], str], None],
    ) -> None:
        self.held = held
        self.log = TrialLog([store.folder(held_trial.trial_id) for held_trial in held])
        self._trials = [held_trial.trial for held_trial in held]
        self._store, self._device = store, device
        self._data_dir = Path(manifest.settings.data_dir)
        self._compiled, self.compiled = compiled, False
        self._capture, self._stop_requested = capture, stop_requested
        self._checkpoint_seconds, self._last_saved = checkpoint_seconds, time.monotonic()
        self._forwarder = LogForwarder(
            logger,
            manifest.name,
            self.log.write,
            folder_of=store.own_folder,
            label_of=manifest.label_of,
            keys=lambda: manifest.label_keys,
        )
        self._rows = LiveRows(store, self.log.write)
        self._is_unsaved = False
        held_claims = [held_trial.claim for held_trial in held]
        self._heartbeat = Heartbeat(held_claims, waiting, seconds=heartbeat_seconds, write_log=self.log.write)
        first_log = store.folder(held[0].trial_id) / LOG
        self._stall_timer = StallTimer(manifest.settings.stall_seconds, first_log, self._announce_stall)
        self._stalled = stalled

    def __enter__(self) -> Self:
        self._heartbeat.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._forwarder.close()
        finally:
            self._heartbeat.__exit__()

    def stop_renewing(self, trial: Trial) -> None:
        """Renew the claim on a trial no more, which is about to be removed."""
        for held_trial in self.held:
            if held_trial.trial_id == trial.id:
                self._heartbeat.drop(held_trial.claim)

    def end_as_failed(self) -> None:
        """Let the logger's runs that are open at the block's end be closed as those of failed trials."""
        self._forwarder.final_status = "failed"

    def end_as_overtaken(self) -> None:
        """Leave the logger's runs alone: another worker has begun them anew."""
        self._forwarder.forget()

    def train(self, write_result: WriteResult) -> None:
        """Train the stack to its end and write the results of those trials that are still this worker's.

        Raises
        ------
        Lost
            Another worker has taken a trial over.
        Interrupted
            A stop was requested; every trial has a checkpoint.
        """
        holder = self.held[0].claim.holder
        self.log.write(f"stack of {len(self.held)} on {self._device} in process {holder.pid} on {holder.host}")
        with self._surroundings():
            outcomes = self._run()
        self._write_results(outcomes, write_result)

    def _run(self) -> list[Outcome]:
        training = self._start_training()
        try:
            self.compiled = training.compiled
            return training.run(self)
        except CannotCompile as error:
            if self._compiled is True or self._stop_requested.is_set():
                raise
            self.log.write(f"compile=auto: it trains without programs: {error}")
        del training  # its memory is the next one's
        self._compiled = self.compiled = False
        return self._start_training().run(self)

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Catch what is printed, watch for a stall, and restore what training changes while the block runs."""
        captured = self.log.capture() if self._capture else nullcontext()
        with open_streams(), captured, self._stall_timer, self._apart():
            yield

    def _announce_stall(self, reason: str) -> None:
        self.log.write(f"{reason}: this worker ends; the stack traces are in the log of {self.held[0].trial_id}")
        self._stalled(self.held, reason)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Keep what the trials' code does to the process from other trials, and end the processes that it forks."""
        with fresh_state(seed=self._trials[0].seed), children_end():
            yield

    def after_step(self, training: StackTraining) -> None:
        """Save checkpoints and write rows of the histories if they are due, and stop if that was requested.

        Raises
        ------
        Lost
            Another worker has taken a trial over.
        Interrupted
            A stop was requested; every trial has a checkpoint.
        """
        end_unless(self.held[0].claim.holder.pid)
        self._heartbeat.note_step(training.step, training.steps)
        self._stall_timer.step()
        if self._heartbeat.lost:
            raise Lost
        due = time.monotonic() - self._last_saved >= self._checkpoint_seconds
        if self._stop_requested.is_set() or due:
            if not all(held_trial.claim.is_latest() for held_trial in self.held):
                raise Lost
            self._save_checkpoints(training)
            self._last_saved = time.monotonic()
        if self._rows.is_due():
            self._write_rows(training)
        if self._stop_requested.is_set():
            raise Interrupted

    def _start_training(self) -> StackTraining:
        """Return the stack's training, at the step of the trials' checkpoints if all stand at one step."""
        checkpoints = {held_trial.trial_id: held_trial.take_checkpoint() for held_trial in self.held}
        training = self._new_training()
        states = []
        for trial in training.trials:
            checkpoint = checkpoints.pop(trial.id)
            if checkpoint.problem:
                own_log = TrialLog([self._store.folder(trial.id)])
                own_log.write(f"{checkpoint.problem}: the trial starts from its beginning")
            if checkpoint.state is not None:
                states.append(checkpoint.state)
        if len(states) < len(self.held) or len({plain["step"] for _, plain in states}) != 1:
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
        return self._new_training()

    def _new_training(self) -> StackTraining:
        return StackTraining(self._trials, self._data_dir, self._device, compiled=self._compiled)

    def _save_checkpoints(self, training: StackTraining) -> None:
        """Write a checkpoint of every trial, and only then hand their histories to the logger."""
        histories = []
        for i, trial in enumerate(training.trials):
            tensors, plain = training.state(i)
            self._save_checkpoint(trial, tensors, plain)
            histories.append(plain["history"])
        for trial, history in zip(training.trials, histories, strict=True):
            self._forwarder.forward(trial, history)

    def _write_rows(self, training: StackTraining) -> None:
        began = time.monotonic()
        if all(held_trial.claim.is_latest() for held_trial in self.held):
            self._rows.write({trial.id: training.history(i) for i, trial in enumerate(training.trials)}, began)

    def _save_checkpoint(self, trial: Trial, tensors: dict[str, torch.Tensor], plain: dict[str, Any]) -> None:
        try:
            save_checkpoint(self._store, trial, tensors, plain)
        except BadCheckpoint as error:  # training goes on: it is the result that counts
            if not self._is_unsaved:
                self.log.write(f"trial {trial.id} has no checkpoint: one saved now could not be read back: {error}")
            self._is_unsaved = True

    def _write_results(self, outcomes: Sequence[Outcome], write_result: WriteResult) -> None:
        """Write the results of all trials, and only then tell the logger of each."""
        stack_ids = [trial.id for trial in self._trials]
        written = []
        for held_trial, outcome in zip(self.held, outcomes, strict=True):
            if held_trial.claim.is_latest():
                trial = held_trial.trial
                with self._apart():
                    result = finished(trial, outcome, self._data_dir, self._device, stack_ids, self.compiled)
                written.append((trial, outcome, write_result(trial, result, outcome.history)))
        for trial, outcome, result in written:
            self._forwarder.finish(trial, outcome.history, result)
