"""The worker processes of the local launcher.

submitit's local executor starts every job at once and gives each the first GPUs. So it is used only to start one
process per slot with its log; the queue is the sweep's manifest, and the GPU of a process is set here.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files.reading import is_folder
from irm_sweeps.launchers.job_pickles import discard_pickles
from irm_sweeps.launchers.worker_task import DEVICE_ERROR, WorkerTask
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import tail
from irm_sweeps.worker.registry import Entry, workers_here

STOP_SECONDS = 60.0
"""How long workers that are asked to stop may take to save."""
ASK_AGAIN_SECONDS = 2.0
"""How often a worker is asked to stop: one that is still starting may miss a signal."""
MAX_EARLY_DEATHS = 3
"""So many workers in a row may end before they start to work."""
YEAR_MINUTES = 60 * 24 * 365


@dataclass(frozen=True)
class Slot:
    """A place for one worker: a GPU (as CUDA_VISIBLE_DEVICES names it; empty: none) and CPU threads."""

    gpu: str
    threads: int


class WorkerPool:
    """The worker processes that this launcher has started and not yet seen end."""

    def __init__(self, store: Store, manifest: Manifest, slots: Iterable[Slot]) -> None:
        from submitit import LocalExecutor

        self._store, self._manifest, self._slots = store, manifest, list(slots)
        self._folder = manifest.folder(store) / "jobs"
        self._executor = LocalExecutor(self._folder)
        self._executor.update_parameters(timeout_min=YEAR_MINUTES)
        self.jobs: list[tuple[Slot, Any]] = []
        self._at_work: set[int] = set()
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
        return len(self._pids() - self._at_work)

    def _pids(self) -> set[int]:
        # A job's id is the pid of the process that starts the worker and watches over it.
        return {int(job.job_id) for _, job in self.jobs}

    def _registered(self) -> list[Entry]:
        """Return the sweep's workers on this machine, and note which of the pool's have started to work."""
        entries = workers_here(self._store, self._manifest)
        newly_at_work = (self._pids() & {entry.starter for entry in entries}) - self._at_work
        if newly_at_work:
            self._at_work |= newly_at_work
            self._early_deaths = 0
        return entries

    def start(self, slot: Slot) -> None:
        """Start a worker that no signal meant for this terminal can reach.

        Raises
        ------
        StoreError
            Its files cannot be written; the others are stopped.
        """
        task = WorkerTask(str(self._store.root), self._manifest.name, slot.gpu, slot.threads)
        try:
            with _ignored_by_children():
                self.jobs.append((slot, self._executor.submit(task)))
        except OSError as error:
            self.stop()
            raise StoreError(f"no worker can start: {error}") from None

    def collect(self) -> None:
        """Forget the workers that have ended.

        A worker that died while it trained says nothing about the next one (a trial that kills its workers is given up
        by them), but workers that end before they start to work are replaced a few times only. The slot of a worker
        whose device does not start gets no other; the sweep goes on while there is a slot.

        Raises
        ------
        UserError
            The store is gone or cannot be written, no device starts, or workers end one after another before they
            start to work. The workers that are left are stopped.
        """
        self._registered()
        if not is_folder(self._manifest.folder(self._store)):
            self._check_store()
        for slot, job in list(self.jobs):
            if job.done():
                self._collect(slot, job)

    def _collect(self, slot: Slot, job: Any) -> None:
        """Forget one worker that has ended; raises as `collect`."""
        self.jobs.remove((slot, job))
        # A worker that ends as it should removes its task; one that is asked to stop does not.
        returned = not job.paths.submitted_pickle.exists()
        discard_pickles(self._folder, [job.job_id])
        started_to_work = int(job.job_id) in self._at_work
        self._at_work.discard(int(job.job_id))
        last_line = tail(job.paths.stderr, 1)
        if last_line.startswith(DEVICE_ERROR):
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

    def _check_store(self) -> None:
        try:
            if not is_folder(self._manifest.folder(self._store)):
                raise StoreError(f"{self._manifest.folder(self._store)} was removed while the sweep ran")
            self._store.prepare()
        except StoreError:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask all workers to save and stop, and wait until they have (at most a minute)."""
        if not self.jobs:
            return
        print("stopping: workers save what they are training ...", file=sys.stderr)
        deadline = time.monotonic() + STOP_SECONDS
        asked = -math.inf
        while time.monotonic() < deadline and not all(job.done() for _, job in self.jobs):
            if time.monotonic() - asked > ASK_AGAIN_SECONDS:
                asked = time.monotonic()
                for _, job in self.jobs:
                    if not job.done():
                        os.kill(int(job.job_id), signal.SIGTERM)
            time.sleep(0.1)
        discard_pickles(self._folder, [job.job_id for _, job in self.jobs if job.done()])


@contextmanager
def _ignored_by_children() -> Iterator[None]:
    """Start processes that ignore SIGINT and SIGHUP: closing the terminal or Ctrl-C must not end them halfway."""
    previous = {signum: signal.signal(signum, signal.SIG_IGN) for signum in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
