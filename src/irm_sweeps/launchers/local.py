"""The local launcher: one long-lived worker per slot of this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from irm_sweeps.device import choose_device, visible_gpus
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.job_pickles import discard_earlier_pickles
from irm_sweeps.launchers.slurm_jobs import JobRecord
from irm_sweeps.launchers.turnover import Turnover
from irm_sweeps.launchers.watch_results import ResultWatcher
from irm_sweeps.launchers.worker_pool import Slot, WorkerPool
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.progress import Progress

POLL_SECONDS = 0.5


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
        asked to stop, and save what they are training; those that do not, are killed.

        Raises
        ------
        UserError
            The workers cannot start, or cannot write the store; the message is the worker's own. Or they end one after
            another without a result.
        """
        slots = self.slots(manifest.settings.device)
        pool, turnover = WorkerPool(store, manifest, slots), Turnover(store, manifest, len(slots))
        watcher = ResultWatcher(store, manifest, progress)
        with _sigterm_as_ctrl_c():
            try:
                _keep_busy(pool, watcher, turnover)
            except KeyboardInterrupt:
                pool.stop()
                raise
            finally:
                pool.close()
        discard_earlier_pickles(manifest.folder(store) / "jobs", JobRecord(store, manifest).ids())
        return True


def _keep_busy(pool: WorkerPool, watcher: ResultWatcher, turnover: Turnover) -> None:
    """Start a worker in every slot that has something to do, until all results are there or a failure ends the launch.

    Raises
    ------
    UserError
        As `WorkerPool.collect`, `WorkerPool.start` and `Turnover.is_fruitless`.
    """
    while True:
        began = time.monotonic()
        new_results = watcher.poll()
        if new_results:
            pool.note_result()
        ended = pool.collect()
        if ended:
            new_results += watcher.poll()  # a worker's last result came before its end
        stopped = watcher.stopped_by_error()
        if watcher.complete or (stopped and not pool.jobs):
            return
        turnover.update(new_results, ended, watcher)
        goes_on = not stopped and not turnover.is_fruitless(any_at_work=bool(pool.jobs))
        wanted = _slots_to_fill(pool, watcher) if goes_on else []
        seconds_looking = time.monotonic() - began
        for slot in wanted:
            pool.start(slot)
        # On a slow file system, looking takes at most a sixth of the time.
        time.sleep(max(POLL_SECONDS, 5 * seconds_looking))


def _slots_to_fill(pool: WorkerPool, watcher: ResultWatcher) -> list[Slot]:
    """Return the free slots for which there is an unclaimed trial."""
    free = pool.free_slots()
    if not free:
        return []
    starting = pool.starting()
    wanted = watcher.unclaimed(at_most=len(free) + starting) - starting
    return free[: max(0, wanted)]


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise KeyboardInterrupt
