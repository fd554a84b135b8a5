"""What runs inside a worker process, whoever started it: submitit calls a `WorkerTask`."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class WorkerTask:
    """One long-lived worker, picklable; nothing heavy is imported before its devices and threads are set.

    Parameters
    ----------
    results, sweep
        The store and the sweep to work on.
    visible_gpu
        What CUDA_VISIBLE_DEVICES becomes; None leaves it as the scheduler set it.
    threads
        CPU threads; None leaves torch's own choice.
    """

    results: str
    sweep: str
    visible_gpu: str | None = None
    threads: int | None = None

    def __call__(self) -> None:
        """Work until nothing is left to claim.

        Exits with 1 if a trial failed, 2 if the store cannot be written, 143 after an orderly stop.
        """
        if self.visible_gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.visible_gpu
        if self.threads is not None:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ[name] = str(self.threads)
        code = self._work()
        if code:
            sys.exit(code)

    def checkpoint(self) -> Any:
        """Answer submitit, which asks after USR2 and before it requeues the job: the same task goes on.

        The trials' own checkpoints have been written by then (see `_work`).
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _work(self) -> int:
        import faulthandler

        import torch

        from irm_sweeps.device import choose_device, tame_allocator
        from irm_sweeps.errors import StoreError
        from irm_sweeps.sweep.manifest import read_manifest
        from irm_sweeps.sweep.roster import on_roster
        from irm_sweeps.sweep.store import Store
        from irm_sweeps.sweep.worker import Interrupted, Worker

        faulthandler.enable()
        tame_allocator()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        store = Store(Path(self.results))
        manifest = read_manifest(store, self.sweep)
        device = choose_device(manifest.settings["device"])
        worker = Worker(store, manifest, device)
        received: list[int] = []
        requeue = signal.getsignal(signal.SIGUSR2)

        def stop(signum: int, frame: Any) -> None:
            del frame
            received.append(signum)
            worker.stop_requested.set()

        for signum in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, stop)
        try:
            with on_roster(store, manifest, self.visible_gpu):
                worker.work()
        except Interrupted:
            if signal.SIGUSR2 in received and callable(requeue):
                # Trials are saved and released; submitit now stores this task and requeues the job.
                requeue(signal.SIGUSR2, None)
            return 143
        except StoreError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 1 if worker.tally.failed else 0
