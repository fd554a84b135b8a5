"""A worker: claims the next unfinished stack of a sweep, trains it, writes the results, and goes on.

What is decided here: which stack is next, which of its trials train together, and what becomes of a trial when
something fails. A stack that is being trained is a `StackRun`.
"""

from __future__ import annotations

import gc
import os
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch

from irm_sweeps.device import is_lost
from irm_sweeps.errors import StoreError, is_out_of_memory, one_line, raised, text_of
from irm_sweeps.files.atomic import FAULTS, write_once
from irm_sweeps.files.reading import is_there
from irm_sweeps.provenance import note_package_state
from irm_sweeps.store import claims
from irm_sweeps.store.claims import MAX_DEATHS
from irm_sweeps.store.finished import Finished
from irm_sweeps.store.layout import LOG
from irm_sweeps.store.liveness import HEARTBEAT_SECONDS
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import NotStorable, Store
from irm_sweeps.store.trial_log import TrialLog, tail
from irm_sweeps.training.moves import CannotCompile, Compiled, forget_programs
from irm_sweeps.trial import Trial
from irm_sweeps.worker.exceptions import DeviceLost, Interrupted, Lost
from irm_sweeps.worker.forks import end_unless
from irm_sweeps.worker.heartbeat import Heartbeat
from irm_sweeps.worker.held_trial import HeldTrial, claim_free
from irm_sweeps.worker.lasting_changes import LastingChanges
from irm_sweeps.worker.outcome import crashed, failed, not_storable, stalled
from irm_sweeps.worker.shared_logger import SharedLogger
from irm_sweeps.worker.stack_order import Stack, try_each, try_untouched
from irm_sweeps.worker.stack_run import StackRun
from irm_sweeps.worker.stall import StallTimer, stall_in
from irm_sweeps.worker.tally import Tally


class _StopOnError(Exception):
    """A trial of this launch has failed, and `on_error=stop`."""


def _ignore(result: Result) -> None:
    del result


class Worker:
    """Works on one sweep, in this process.

    Parameters
    ----------
    report
        Called with each trial's result, soon after it is written.
    capture
        Whether what is printed while training goes to the trial's log; false where a terminal is watching.
    stalled
        Called with the ids of a stack's trials and the reason before this process ends because the stack makes no step.
        To be given where nobody takes over when this process dies: a trial that trains alone has failed then.

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
        stalled: Callable[[Sequence[str], str], None] | None = None,
    ) -> None:
        self.store, self.manifest, self.device = store, manifest, device
        self.checkpoint_seconds = manifest.settings.checkpoint_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.stop_requested = stop_requested or threading.Event()
        self.tally = Tally()
        self._logger = SharedLogger(manifest.settings.logger, self.stop_requested)
        self._report, self._capture = report, capture
        self._report_stall = stalled
        self._unreported: list[Result] = []
        self._finished = Finished(store, manifest)
        self._finished_before: set[str] = set()
        self._saw_doubtful_claim = False
        self._changes = LastingChanges()
        self._pid = os.getpid()
        self._compiled_kind = ""
        self._without_programs: set[str] = set()
        note_package_state()

    def work(self) -> Tally:
        """Run everything that no other worker has done or is doing.

        Stacks that nobody has begun come first. Then those that other workers have released or died on are tried,
        round after round, until a round brings no result. While it is not yet certain that another worker is dead,
        this one waits.

        Raises
        ------
        Interrupted
            `stop_requested` was set.
        StoreError
            The store cannot be written: disk full, folder gone.
        DeviceLost
            The GPU no longer answers this process.
        ProcessChanged
            What has been trained here would change the numbers of the trials that are left.
        """
        self._finished_before = self._finished.trial_ids()
        with suppress(_StopOnError):
            try_untouched(self.store, self.manifest.stacks, self._attempt)
            while stacks := self._unfinished_stacks():
                trials_before, self._saw_doubtful_claim = self.tally.trials, False
                try_each(stacks, self._attempt_begun)
                if self.tally.trials == trials_before:
                    if not self._saw_doubtful_claim:
                        break
                    self.stop_requested.wait(self.heartbeat_seconds)
        return self.tally

    def _unfinished_stacks(self) -> list[Stack]:
        # Results of before this worker began may have been removed since: those are looked up in the store.
        finished_since = self._finished.trial_ids() - self._finished_before
        return [
            stack
            for stack in self.manifest.stacks
            if not all(trial_id in finished_since or self.store.has_result(trial_id) for trial_id in stack)
        ]

    def _attempt(self, stack: Stack) -> bool:
        """Train the trials of a stack that are free; return whether any was."""
        if self.stop_requested.is_set():
            raise Interrupted
        if self._should_stop_on_error():
            raise _StopOnError
        return self._work_on(stack)

    def _attempt_begun(self, stack: Stack) -> bool:
        """Attempt a stack, unless others hold its first and its last unfinished trial: then they hold all of it."""
        first, last = (next((i for i in ids if not self.store.has_result(i)), None) for ids in (stack, stack[::-1]))
        for trial_id in filter(None, dict.fromkeys((first, last))):
            if (claim := claims.in_force(self.store, trial_id)) is None:
                return self._attempt(stack)
            self._saw_doubtful_claim = self._saw_doubtful_claim or claim.is_doubtful()
        return False

    def _should_stop_on_error(self) -> bool:
        marker = self.manifest.stop_marker(self.store)
        if self.manifest.settings.on_error != "stop":
            return False
        if self.tally.failed:
            write_once(marker, b"", durable=False)
        return is_there(marker)

    def _work_on(self, stack: Stack) -> bool:
        """Train the free trials of a stack, one group after another; return whether any was free.

        Only the group that is being trained stays claimed: the others are released, and claimed again afterwards.
        """
        remaining_ids, any_free = list(stack), False
        while remaining_ids:
            with claim_free(self.store, self.manifest, remaining_ids) as held:
                any_free = any_free or bool(held)
                group = self._next_group(held) if held else []
                later = [held_trial for held_trial in held if held_trial not in group]
                for held_trial in later:
                    held_trial.release()
                if group and group[0].claim.deaths >= MAX_DEATHS:
                    self._give_up(group[0])
                elif group:
                    self._train(group)
            self._report_results()
            remaining_ids = [held_trial.trial_id for held_trial in later]
        return any_free

    def _next_group(self, held: Sequence[HeldTrial]) -> list[HeldTrial]:
        """Return the trials to train together next, built: those that go on at the same step as the first.

        A trial that may have killed its worker comes last and alone, so that this worker holds no other trial then; one
        that is to be given up is not built.
        Building may take long or hang, so the claims are renewed and a stall is noticed, as in training.
        """
        if all(held_trial.claim.deaths for held_trial in held) and held[0].claim.deaths >= MAX_DEATHS:
            return list(held[:1])
        log = TrialLog([self.store.folder(held_trial.trial_id) for held_trial in held])

        def end_stalled(reason: str) -> None:
            log.write(f"{reason}: this worker ends while it builds the trial")
            if self._report_stall is not None:
                self._report_stall([held_trial.trial_id for held_trial in held], reason)

        all_claims = [held_trial.claim for held_trial in held]
        heartbeat = Heartbeat([], all_claims, seconds=self.heartbeat_seconds, write_log=log.write)
        first_log = self.store.folder(held[0].trial_id) / LOG
        with heartbeat, StallTimer(self.manifest.settings.stall_seconds, first_log, end_stalled):
            group = [held_trial for held_trial in held if not held_trial.claim.deaths] or held[:1]
            return [held_trial for held_trial in group if held_trial.step == group[0].step]

    def _give_up(self, held_trial: HeldTrial) -> None:
        """Write the result of a trial that has killed too many workers."""
        log = tail(held_trial.claim.path.parent / LOG, 1000)
        stall = stall_in(log)
        log_tail = log if stall else "\n".join(log.splitlines()[-20:])
        result = crashed(held_trial.trial_id, held_trial.config, held_trial.claim.deaths, log_tail, stall)
        self._note_result(result, written=self.store.write_result(result, []))

    def _train(self, group: list[HeldTrial]) -> None:
        """Train the trials of a group as one stack; if that fails, as two halves, and so on."""
        pending = [group]
        while pending:
            held = [held_trial for held_trial in pending.pop(0) if held_trial.claim.is_latest()]
            waiting = [held_trial for later_group in pending for held_trial in later_group]
            if held and not self._train_stack(held, waiting):
                # Not while the error is handled: its traceback holds on to all that the stack has in memory.
                self._free_memory()
                middle = len(held) // 2
                pending[:0] = [held[:middle], held[middle:]]

    def _train_stack(self, held: Sequence[HeldTrial], waiting: Sequence[HeldTrial]) -> bool:
        """Train trials as one stack; return False if it failed and its trials are yet to be trained in halves."""
        self._changes.check(held[0].trial)
        run = StackRun(
            held,
            [held_trial.claim for held_trial in waiting],
            store=self.store,
            manifest=self.manifest,
            device=self.device,
            heartbeat_seconds=self.heartbeat_seconds,
            checkpoint_seconds=self.checkpoint_seconds,
            stop_requested=self.stop_requested,
            logger=self._logger,
            capture=self._capture,
            compiled=self._compiled(held[0].trial),
            stalled=self._stalled,
        )
        with run:
            return self._try_to_train(run)

    def _compiled(self, trial: Trial) -> Compiled:
        """Return whether a trial trains as compiled programs; a kind is not tried again that could not be compiled."""
        compiled = self.manifest.settings.compiled(trial.kind)
        return False if compiled == "if_tiny" and trial.kind in self._without_programs else compiled

    def _try_to_train(self, run: StackRun) -> bool:
        """Train a stack whose claims are being renewed; return as `_train_stack`."""
        held = run.held
        try:
            self._forget_programs_of_other_kinds(held[0].trial)
            with self._changes.watch(held[0].trial):
                run.train(partial(self._write_result, stop_renewing=run.stop_renewing))
            if self._compiled(held[0].trial) and not run.compiled:
                self._without_programs.add(held[0].trial.kind)
        except Lost:
            run.end_as_overtaken()
            run.log.write("another worker has taken over: nothing more is written here")
        except StoreError:
            raise
        except CannotCompile as error:
            run.log.write(f"not trained: {error}")
            if self.stop_requested.is_set():  # a stop that reaches the compiler too
                raise Interrupted from None
            raise
        except BaseException as error:  # a user's code may raise anything; signals ask, see `stop_requested`
            self._raise_unless_of_the_trials(error, run)
            if len(held) > 1:
                run.log.write(f"a stack of {len(held)} failed ({raised(error)}): trying two halves")
                return False
            self._fail(held[0], error, run)
        return True

    def _raise_unless_of_the_trials(self, error: BaseException, run: StackRun) -> None:
        """Raise what an error means if it is not the fault of the trials: a stop, or the store or the device fails."""
        if self.stop_requested.is_set():  # the signal may have ended what the trial waited for: it is tried again
            if not isinstance(error, Interrupted | KeyboardInterrupt):
                run.log.write(f"not counted, as this worker was asked to stop: {raised(error)}")
            raise Interrupted from None
        if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno in FAULTS:
            raise StoreError(f"trial {run.held[0].trial_id} cannot go on: {text_of(error)}") from error
        if is_lost(self.device):
            run.log.write(f"{self.device} is lost to this process: {text_of(error)}")
            raise DeviceLost(f"{self.device} is lost to this process: {one_line(text_of(error))}") from None

    def _fail(self, held_trial: HeldTrial, error: BaseException, run: StackRun) -> None:
        """Write the result of a trial whose code raised."""
        result = failed(held_trial.trial, error)
        run.end_as_failed()
        run.log.write(result["error"]["details"] or result["error"]["message"])
        if is_out_of_memory(error):  # where it ran out is of use to the author of a method, and of no other use
            run.log.write("".join(traceback.format_exception(error)))
        if held_trial.claim.is_latest():
            self._write_result(held_trial.trial, result, [], stop_renewing=run.stop_renewing)

    def _stalled(self, held: Sequence[HeldTrial], reason: str) -> None:
        """Report that a stack makes no step, in the thread that ends this process."""
        if self._report_stall is None:
            return
        if len(held) == 1 and held[0].claim.is_latest():
            self._write_result(held[0].trial, stalled(held[0].trial, reason), [])
        self._report_stall([held_trial.trial_id for held_trial in held], reason)

    def _free_memory(self) -> None:
        if self._compiled_kind:
            forget_programs()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _forget_programs_of_other_kinds(self, trial: Trial) -> None:
        if not self._compiled(trial):
            return
        if self.device.type == "cuda" and trial.kind != self._compiled_kind:
            forget_programs()  # their graphs keep memory
        self._compiled_kind = trial.kind

    def _write_result(
        self,
        trial: Trial,
        result: dict[str, Any],
        history: Sequence[dict[str, Any]],
        *,
        stop_renewing: Callable[[Trial], None] | None = None,
    ) -> dict[str, Any]:
        """Write a result, or of one that could not be read back a failure that says why; return what was written."""
        end_unless(self._pid)
        try:
            written = self.store.write_result(result, history)
        except NotStorable as problem:
            result = not_storable(trial, result["status"], problem)
            written = self.store.write_result(result, [])
        if stop_renewing is not None:
            stop_renewing(trial)
        self._note_result(result, written=written)
        return result

    def _note_result(self, result: dict[str, Any], *, written: bool) -> None:
        """Count a result, if this worker has written it, and remove what only an open trial needs."""
        trial_id = result["trial_id"]
        claims.clear(self.store, trial_id)
        self._finished.add(trial_id)
        log = TrialLog([self.store.folder(trial_id)])
        if not written:
            log.write("another worker has written the result first: it stays")
            return
        self.tally.add(result["status"])
        log.write(result["status"])
        self._unreported.append(Result.from_values(result))

    def _report_results(self) -> None:
        # Not while training: a terminal that is gone is no failure of the trial.
        while self._unreported:
            self._report(self._unreported.pop(0))
