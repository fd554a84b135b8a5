"""The local pool: one long-lived worker per slot of this machine, started through submitit.

submitit's local executor starts every job at once and gives each the first GPUs. So it is used for what it
does well, one process per slot with its log; the queue is the sweep's manifest, and the GPU is ours to set.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.device import choose_device, visible_gpus
from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.launchers.watch_results import Follower
from irm_sweeps.launchers.worker_task import DEVICE_ERROR, WorkerTask
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import tail
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.worker.registry import Entry, workers_here

POLL_SECONDS = 0.5
STOP_SECONDS = 60.0
MAX_EARLY_DEATHS = 3
YEAR_MINUTES = 60 * 24 * 365


@dataclass(frozen=True)
class Slot:
    """A place for one worker: a GPU (as CUDA_VISIBLE_DEVICES names it; empty: none) and CPU threads."""

    gpu: str
    threads: int


class Local(Launcher):
    """Keeps every slot of this machine busy until nothing is left to claim; replaces workers that die.

    Parameters
    ----------
    slots
        Workers; None: GPUs x `runs_per_gpu`, or on a CPU one per `threads_per_worker` cores.
    runs_per_gpu
        Workers that share a GPU.
    threads_per_worker
        CPU threads of each worker; None: the cores shared out, and on a CPU one core each.
    """

    def __init__(self, slots: int | None, runs_per_gpu: int, threads_per_worker: int | None) -> None:
        for name, value in (
            ("slots", slots),
            ("runs_per_gpu", runs_per_gpu),
            ("threads_per_worker", threads_per_worker),
        ):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UserError(f"hydra.launcher.{name}={value!r}: must be a whole number of at least 1")
        self._slots, self._runs_per_gpu, self._threads = slots, runs_per_gpu, threads_per_worker

    def slots(self, device: str) -> list[Slot]:
        """Return the slots for `device=DEVICE`, round-robin over the GPUs.

        Raises
        ------
        UserError
            There is no such device.
        """
        choose_device(device)
        cores = len(os.sched_getaffinity(0))
        gpus = visible_gpus(device)
        if gpus:
            n = self._slots or len(gpus) * self._runs_per_gpu
            threads = self._threads or max(1, cores // n)
            return [Slot(gpus[i % len(gpus)], threads) for i in range(n)]
        n = self._slots or max(1, cores // (self._threads or 1))
        return [Slot("", self._threads or max(1, cores // n)) for _ in range(n)]

    def workers(self, device: str) -> int:
        """Return the number of slots."""
        return len(self.slots(device))

    def threads(self, device: str) -> int | None:
        """Return the threads of a slot."""
        return self.slots(device)[0].threads

    def uses_gpu(self, device: str) -> bool:
        """Return whether the slots have GPUs."""
        return bool(visible_gpus(device))

    def gpus(self, device: str) -> Sequence[str]:
        """Return the slots' GPUs."""
        return visible_gpus(device)

    def run(self, store: Store, manifest: Manifest, progress: Progress) -> bool:
        """Start the workers and follow the sweep to its end.

        Workers outlive this process: if it is killed or its terminal closes, they go on. On Ctrl-C they are
        asked to stop, and save what they are training.

        Raises
        ------
        UserError
            The workers cannot start, or cannot write the store; the message is the worker's own.
        """
        slots = self.slots(manifest.settings.device)
        pool = _Pool(store, manifest, slots)
        follower = Follower(store, manifest, progress)
        previous = signal.signal(signal.SIGTERM, _interrupt)
        try:
            while True:
                started = time.monotonic()
                follower.poll()
                pool.collect()
                if follower.complete or (follower.stopped_by_error() and not pool.jobs):
                    return True
                free = pool.free_slots()
                if free and not follower.stopped_by_error():
                    wanted = follower.unclaimed(at_most=len(free) + pool.starting()) - pool.starting()
                    for slot in free[: max(0, wanted)]:
                        pool.start(slot)
                time.sleep(max(POLL_SECONDS, 5 * (time.monotonic() - started)))
        except KeyboardInterrupt:
            pool.stop()
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(signum: int, frame: Any) -> None:
    del signum, frame
    raise KeyboardInterrupt


class _Pool:
    """The worker processes that this launcher has started and not yet seen end."""

    def __init__(self, store: Store, manifest: Manifest, slots: list[Slot]) -> None:
        from submitit import LocalExecutor

        self._store, self._manifest, self._slots = store, manifest, list(slots)
        self._executor = LocalExecutor(manifest.folder(store) / "jobs")
        self._executor.update_parameters(timeout_min=YEAR_MINUTES)
        self.jobs: list[tuple[Slot, Any]] = []
        self._came_to_work: set[int] = set()
        self._early_deaths = 0

    def free_slots(self) -> list[Slot]:
        """Return the slots without a worker, those that another launch has started counted."""
        taken = [slot.gpu for slot, _ in self.jobs]
        taken += [entry.gpu or "" for entry in self._look_round() if entry.starter not in self._pids()]
        free = []
        for slot in self._slots:
            if slot.gpu in taken:
                taken.remove(slot.gpu)
            else:
                free.append(slot)
        return free

    def starting(self) -> int:
        """Return how many of our workers have not come to work yet, and so can hold no claim."""
        return len(self._pids() - self._came_to_work)

    def _pids(self) -> set[int]:
        # A job's id is the pid of the process that starts the worker and watches over it.
        return {int(job.job_id) for _, job in self.jobs}

    def _look_round(self) -> list[Entry]:
        entries = workers_here(self._store, self._manifest)
        newly = (self._pids() & {entry.starter for entry in entries}) - self._came_to_work
        if newly:
            self._came_to_work |= newly
            self._early_deaths = 0
        return entries

    def start(self, slot: Slot) -> None:
        """Start a worker that no signal meant for this terminal can reach."""
        task = WorkerTask(str(self._store.root), self._manifest.name, slot.gpu, slot.threads)
        # Children inherit what is ignored: closing the terminal or Ctrl-C must not end them halfway.
        previous = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGHUP)}
        try:
            self.jobs.append((slot, self._executor.submit(task)))
        except OSError as error:
            self.stop()
            raise StoreError(f"no worker can start: {error}") from None
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)

    def collect(self) -> None:
        """Forget the workers that have ended.

        A worker that died at work says nothing about the next one (a trial that kills its workers is given up
        by them), but those that never get so far will not start to by being tried for ever. The slot of a worker
        whose device does not start gets no other; the sweep goes on while there is a slot.

        Raises
        ------
        UserError
            The store is gone or cannot be written, no device starts, or workers die one after another before they
            come to work.
        """
        self._look_round()
        if not self._manifest.folder(self._store).is_dir():
            self._check_store()
        for slot, job in list(self.jobs):
            if not job.done():
                continue
            self.jobs.remove((slot, job))
            came_to_work = int(job.job_id) in self._came_to_work
            self._came_to_work.discard(int(job.job_id))
            last_line = tail(job.paths.stderr, 1)
            if last_line.startswith(DEVICE_ERROR):
                self._slots.remove(slot)
                print(f"a worker cannot start: {last_line.removeprefix('error: ')}", file=sys.stderr, flush=True)
                if self._slots:
                    continue
            if last_line.startswith("error: "):
                self.stop()
                raise StoreError(last_line.removeprefix("error: "))
            if job.paths.result_pickle.exists():
                continue
            self._check_store()
            if not came_to_work:
                self._early_deaths += 1
            if self._early_deaths > MAX_EARLY_DEATHS:
                self.stop()
                raise UserError(f"workers die before they come to work; last words: {last_line or 'none'}")

    def _check_store(self) -> None:
        try:
            if not self._manifest.folder(self._store).is_dir():
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
            # Again and again: one that is still starting up may not hear the first time.
            if time.monotonic() - asked > 2:
                asked = time.monotonic()
                for _, job in self.jobs:
                    if not job.done():
                        os.kill(int(job.job_id), signal.SIGTERM)
            time.sleep(0.1)
