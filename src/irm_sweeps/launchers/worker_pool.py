"""The worker processes of the local launcher.

Each slot has one long-lived worker, started as `local_jobs` describes. The queue is the sweep's manifest, and the GPU
of a process is set here.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files.reading import is_folder
from irm_sweeps.launchers.local_jobs import Job, Jobs
from irm_sweeps.launchers.process_tree import descendants, kill
from irm_sweeps.launchers.worker_task import DEVICE_ERROR, WorkerTask
from irm_sweeps.store import claims
from irm_sweeps.store.liveness import Process, is_here
from irm_sweeps.store.manifest import PACKAGE_CHANGED, Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import tail
from irm_sweeps.worker.registry import RegisteredWorker, workers_here

STOP_SECONDS = 60.0
"""How long workers that are asked to stop may take to save."""
ASK_AGAIN_SECONDS = 2.0
"""How often a worker is asked to stop: one that is still starting may miss a signal."""
MAX_EARLY_DEATHS = 3
"""So many workers in a row may end before they start to work."""


@dataclass(frozen=True)
class Slot:
    """A place for one worker: a GPU (as CUDA_VISIBLE_DEVICES names it; empty: none) and CPU threads."""

    gpu: str
    threads: int


class WorkerPool:
    """The worker processes that this launcher has started and not yet seen end."""

    def __init__(self, store: Store, manifest: Manifest, slots: Iterable[Slot]) -> None:
        self._store, self._manifest, self._slots = store, manifest, list(slots)
        self._jobs = Jobs(manifest.folder(store) / "jobs")
        self.jobs: list[tuple[Slot, Job]] = []
        self._at_work: dict[int, Process] = {}
        self._early_deaths = 0

    def free_slots(self) -> list[Slot]:
        """Return the slots without a worker; a worker that another launch has started takes a slot, too."""
        taken = [slot.gpu for slot, _ in self.jobs]
        taken += [entry.gpu or "" for entry in self._registered() if entry.starter not in self._pids()]
        free = []
        for slot in self._slots:
            if slot.gpu in taken:
                taken.remove(slot.gpu)
            else:
                free.append(slot)
        return free

    def starting(self) -> int:
        """Return how many of these workers have not started to work yet, and so can hold no claim."""
        return len(self._pids() - self._at_work.keys())

    def _pids(self) -> set[int]:
        # A job's id is the pid of the process that starts the worker and watches over it.
        return {job.pid for _, job in self.jobs}

    def _registered(self) -> list[RegisteredWorker]:
        """Return the sweep's workers on this machine, and note which of the pool's have started to work.

        Those are noted too that have died since.
        """
        living, dead = workers_here(self._store, self._manifest)
        pids = self._pids()
        newly_at_work = {e.starter: e.process for e in [*living, *dead] if e.starter in pids - self._at_work.keys()}
        if newly_at_work:
            self._at_work |= newly_at_work
            self._early_deaths = 0
        return living

    def start(self, slot: Slot) -> None:
        """Start a worker that no signal meant for this terminal can reach.

        Raises
        ------
        StoreError
            Its files cannot be written; the others are stopped.
        """
        task = WorkerTask(str(self._store.root), self._manifest.name, slot.gpu, slot.threads)
        try:
            self.jobs.append((slot, self._jobs.start(task)))
        except OSError as error:
            self.stop()
            raise StoreError(f"no worker can start: {error}") from None

    def collect(self) -> list[Process | None]:
        """Forget the workers that have ended, and return their processes: None for one whose process was never known.

        A worker that died while it trained says nothing about the next one (a trial that kills its workers is given up
        by them), but workers that end before they start to work are replaced a few times only. The slot of a worker
        whose device does not start, or that finds another code of this package than was submitted, gets no other; the
        sweep goes on while there is a slot.

        Raises
        ------
        UserError
            The store is gone or cannot be written, no device starts, or workers end one after another before they
            start to work. The workers that are left are stopped.
        """
        self._registered()
        if not is_folder(self._manifest.folder(self._store)):
            self._check_store()
        return [self._collect(slot, job) for slot, job in list(self.jobs) if job.done()]

    def _collect(self, slot: Slot, job: Job) -> Process | None:
        """Forget one worker that has ended; raises as `collect`."""
        self.jobs.remove((slot, job))
        process = self._at_work.pop(job.pid, None)
        self._check_end(slot, job, started_to_work=process is not None, returned=job.returned())
        return process

    def _check_end(self, slot: Slot, job: Job, *, started_to_work: bool, returned: bool) -> None:
        last_line = tail(self._jobs.log(job), 1)
        if last_line.startswith((DEVICE_ERROR, f"error: {PACKAGE_CHANGED}")):
            self._slots.remove(slot)
            print(f"a worker cannot start: {last_line.removeprefix('error: ')}", file=sys.stderr, flush=True)
            if self._slots:
                return
        if last_line.startswith("error: "):
            self.stop()
            raise StoreError(last_line.removeprefix("error: "))
        if returned:
            return
        self._check_store()
        if not started_to_work:
            self._early_deaths += 1
        if self._early_deaths > MAX_EARLY_DEATHS:
            self.stop()
            raise UserError(f"workers end before they start to work; last message: {last_line or 'none'}")

    def note_result(self) -> None:
        """Note that a trial has got a result: workers do start to work."""
        self._early_deaths = 0

    def _check_store(self) -> None:
        try:
            if not is_folder(self._manifest.folder(self._store)):
                raise StoreError(f"{self._manifest.folder(self._store)} was removed while the sweep ran")
            self._store.prepare()
        except StoreError:
            self.stop()
            raise

    def close(self) -> None:
        """End what starts workers; those that are at work go on."""
        self._jobs.close()

    def stop(self) -> None:
        """Ask all workers to save and stop; end those that have not after `STOP_SECONDS`, or on Ctrl-C at once.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C came meanwhile; no worker is left.
        """
        if not self._running():
            return
        names = ", ".join(map(str, self._running().values()))
        print(
            f"stopping: workers save what they are training (processes {names}; at most {STOP_SECONDS:g} s, "
            "Ctrl-C ends them at once) ...",
            file=sys.stderr,
            flush=True,
        )
        try:
            self._ask_to_stop()
        except KeyboardInterrupt:
            self._kill("ended at once")
            raise
        self._kill(f"did not stop within {STOP_SECONDS:g} s, and was killed")

    def _running(self) -> dict[int, int]:
        """Return the pid of each worker that has not ended, by its job's id; the job's own pid while it starts."""
        jobs = [job.pid for _, job in self.jobs if not job.done()]
        return {job: next(iter(descendants(job)), job) for job in jobs}

    def _ask_to_stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        asked = -math.inf
        while time.monotonic() < deadline and (running := [job.pid for _, job in self.jobs if not job.done()]):
            if time.monotonic() - asked > ASK_AGAIN_SECONDS:
                asked = time.monotonic()
                for pid in running:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
        for _, job in self.jobs:
            if job.done():
                job.returned()  # and submitit's files of it go

    def _kill(self, how: str) -> None:
        """Kill the workers that are left, and what they have started; say which, and what they were training."""
        for job, worker in self._running().items():
            kill([*descendants(job), job])
            trials = self._held_by(worker)
            training = f"; the next launch goes on with {', '.join(trials)}" if trials else ""
            print(f"worker process {worker} {how}{training}", file=sys.stderr, flush=True)

    def _held_by(self, pid: int) -> list[str]:
        """Return the ids of the trials whose claims a process of this machine held when it ended."""
        held = []
        for trial_id in self._manifest.trials:
            with suppress(StoreError):
                claim = claims.current(self._store, trial_id)
                if claim is not None and not claim.released and is_here(claim.holder) and claim.holder.pid == pid:
                    held.append(trial_id)
        return held
