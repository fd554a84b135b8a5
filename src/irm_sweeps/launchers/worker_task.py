"""What runs inside a worker process, whoever started it: submitit calls a `WorkerTask`."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading

    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.store import Store

SIBLINGS_SECONDS = 60.0
"""How long the worker that requeues a job waits for the job's others to save."""

_GPUS_OF_SLURM = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
"""One of these is set in a job, or a step of one, that SLURM gave GPUs."""
DEVICE_ERROR = "error: device="
"""How the last line of a worker begins that cannot use its device: others may be able to use theirs."""


def import_folders() -> list[str]:
    """Return where this process imports from: a user's own method file may lie beside the front door."""
    return [os.path.abspath(folder) for folder in sys.path]


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
        CPU threads; None: those that SLURM gave, elsewhere torch's own choice.
    folders
        Where to import a user's own files from, besides the worker's own `sys.path`.
    trusted
        Whether the sweep is this user's: what its manifest names is imported. Else one that needs anything but this
        package is refused.
    told
        Whether to print each result and a summary: for a person who watches.
    """

    results: str
    sweep: str
    visible_gpu: str | None = None
    threads: int | None = None
    folders: list[str] = field(default_factory=import_folders)
    trusted: bool = True
    told: bool = False

    def __call__(self) -> None:
        """Work until nothing is left to claim.

        Exits with 1 if a trial failed, 2 if it cannot work here (the store, the device), 143 after an orderly
        stop.
        """
        sys.path += [folder for folder in self.folders if folder not in sys.path]
        gpu = self.visible_gpu if self.visible_gpu is not None else _own_gpu_of_slurm()
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        threads = self.threads or _threads_of_slurm()
        if threads is not None:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ[name] = str(threads)
        code = self._work(gpu, threads)
        if code:
            sys.exit(code)

    def checkpoint(self) -> Any:
        """Answer submitit, which asks after USR2 and before it requeues the job: the same task goes on.

        The trials' own checkpoints have been written by then (see `_work`).
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _work(self, gpu: str | None, threads: int | None) -> int:
        import faulthandler
        import threading

        requeue = signal.getsignal(signal.SIGUSR2)
        received: list[int] = []
        stop_requested = threading.Event()

        def stop(signum: int, frame: Any) -> None:
            del frame
            received.append(signum)
            stop_requested.set()

        # Before the slow imports: a signal must never fall into a gap.
        for signum in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, stop)

        import torch

        from irm_sweeps.device import tame_allocator
        from irm_sweeps.errors import UserError
        from irm_sweeps.store.manifest import read_manifest
        from irm_sweeps.store.store import Store
        from irm_sweeps.worker.keeper import Interrupted
        from irm_sweeps.worker.registry import siblings

        faulthandler.enable()
        tame_allocator()
        if threads is not None:
            torch.set_num_threads(threads)
        store = Store(Path(self.results))
        try:
            manifest = read_manifest(store, self.sweep)
            if self.trusted:
                manifest.make_importable()
            else:
                manifest.check_own(store)
            code = self._work_on(store, manifest, gpu, stop_requested)
            # Only the job's first task requeues it (submitit's rule), so it stays until the others are done.
            while _is_first_task() and siblings(store, manifest):
                if stop_requested.wait(1.0):
                    raise Interrupted
        except Interrupted:
            if self.told:
                print("stopped: what was being trained is saved, and any worker goes on with it", file=sys.stderr)
            if callable(requeue) and (signal.SIGUSR2 in received or _slurm_preempts_us()):
                # Trials are saved and released; submitit now stores this task and requeues the job.
                deadline = time.monotonic() + SIBLINGS_SECONDS
                while _is_first_task() and siblings(store, manifest) and time.monotonic() < deadline:
                    time.sleep(0.1)
                requeue(signal.SIGUSR2, None)
            return 143
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return code

    def _work_on(self, store: Store, manifest: Manifest, gpu: str | None, stop_requested: threading.Event) -> int:
        """Work until nothing is left to claim, or nothing more can be done here; return the exit code."""
        import torch

        from irm_sweeps.device import choose_device, open_device
        from irm_sweeps.errors import UserError
        from irm_sweeps.sweep.progress import Progress
        from irm_sweeps.wording import count
        from irm_sweeps.worker.registry import on_roster
        from irm_sweeps.worker.worker import DeviceLost, Worker

        try:
            wanted = manifest.settings.device
            # A worker that was given one GPU sees no other, whatever its number is outside. `auto` is that GPU then:
            # were it broken, the CPU in its place would take days without a word.
            device = torch.device("cuda") if gpu and wanted != "cpu" else choose_device(wanted)
            open_device(device)
            progress = Progress(sum(not store.has_result(trial) for trial in manifest.trials) if self.told else 0)
            worker = Worker(store, manifest, device, stop_requested=stop_requested, report=progress.add)
            if self.told:
                left = f"{progress.total} of {count(len(manifest.trials), 'trial')} have no result"
                print(f"{manifest.name}: {left}; working here on {device}", flush=True)
            with on_roster(store, manifest, gpu):
                worker.work()
            if self.told:
                others = "; other workers have the rest" if progress.finished < progress.total else ""
                print(progress.summary() + others)
        except DeviceLost as error:
            print(f"this worker ends, another may go on: {error}", file=sys.stderr)
            return 1
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 1 if worker.tally.failed else 0


def _is_first_task() -> bool:
    """Return whether this is the first of several worker processes of one SLURM job."""
    return int(os.environ.get("SLURM_NTASKS", "1")) > 1 and os.environ.get("SLURM_PROCID") == "0"


def _own_gpu_of_slurm() -> str | None:
    """Return this task's GPU: SLURM shows every task of a job all of the job's GPUs on its node.

    None where SLURM gave the job none: CUDA_VISIBLE_DEVICES is then what the submitting shell had, or a placeholder.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm" or not any(os.environ.get(name) for name in _GPUS_OF_SLURM):
        return None
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return gpus[int(os.environ.get("SLURM_LOCALID", "0")) % len(gpus)] if gpus else None


def _threads_of_slurm() -> int | None:
    """Return this task's share of the CPUs that SLURM gave its job on this node."""
    if own := os.environ.get("SLURM_CPUS_PER_TASK"):
        return int(own)
    node = os.environ.get("SLURM_CPUS_ON_NODE")
    tasks = int(os.environ.get("SLURM_NTASKS_PER_NODE") or os.environ.get("SLURM_NTASKS") or "1")
    return None if node is None else max(1, int(node) // tasks)


def _slurm_preempts_us() -> bool:
    """Return whether SLURM is taking the resources back: it then requeues only a job that lives to the end.

    The first word of a preemption is SIGTERM on most sites, as it is of `scancel` and `scontrol requeue`.
    """
    import subprocess

    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    try:
        answer = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    words = answer.stdout.split()
    return "JobState=RUNNING" in words and any(
        word.startswith("PreemptTime=") and word != "PreemptTime=None" for word in words
    )
