"""What runs inside a worker process, whoever started it: submitit calls a `WorkerTask`."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from irm_sweeps import slurm
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.hung_worker import StopDeadline
from irm_sweeps.launchers.successors import AT_WORK, FAILURE, REPLACE, has_successor, tell, work_in_successors

if TYPE_CHECKING:
    import torch

    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.result import Result
    from irm_sweeps.store.store import Store
    from irm_sweeps.sweep.progress import Progress

SIBLINGS_SECONDS = 60.0
"""How long the worker that requeues a job waits for the other workers of the job to save."""
DEVICE_ERROR = "error: device="
"""How the last line of a worker begins that cannot use its device; other workers may be able to use theirs."""
FAILED, CANNOT_WORK, STOPPED = 1, 2, 143
"""Exit codes: a trial failed or the device was lost; the store, sweep or device cannot be used; an orderly stop."""


def import_folders() -> list[str]:
    """Return the folders this process imports from: a user's own method file may lie beside the front door."""
    return [os.path.abspath(folder) for folder in sys.path]


# torch, and the modules that import it, are imported inside functions: CUDA_VISIBLE_DEVICES and the numbers of threads
# must be set, and signals be caught, before.


@dataclass
class WorkerTask:
    """One long-lived worker. It is pickled into a job that may wait for days, so its fields keep their names.

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
        Whether the sweep is this user's: what its manifest names is imported. If not, one that needs anything but this
        package is refused.
    told
        Whether to print each result and a summary: for a person who watches.
    stop_seconds
        Time between SLURM's signal and the job's time limit; None: not said.
    """

    results: str
    sweep: str
    visible_gpu: str | None = None
    threads: int | None = None
    folders: list[str] = field(default_factory=import_folders)
    trusted: bool = True
    told: bool = False
    stop_seconds: float | None = None

    def __call__(self) -> None:
        """Work until nothing is left to claim, in successors where a trial ends its process and no pool starts another.

        Exits with 1 if a trial failed, 2 if it cannot work here (the store, the device) or, where a person watches,
        if trials are left without a result, 143 after an orderly stop.
        """
        forks = slurm.is_submitted_task() or (self.told and "torch" not in sys.modules)
        code = work_in_successors(self._work_here) if forks else self._work_here()
        if code in (0, FAILED):  # after an orderly stop the job may start again
            from irm_sweeps.launchers.job_pickles import discard_own_pickles_at_exit

            discard_own_pickles_at_exit(Path(self.results) / "sweeps" / self.sweep / "jobs")
        if code:
            sys.exit(code)

    def _work_here(self) -> int:
        """Set this process up, work in it, and return the exit code."""
        sys.path += [folder for folder in self.folders if folder not in sys.path]
        gpu = self.visible_gpu if self.visible_gpu is not None else slurm.gpu_of_task()
        threads = self.threads or slurm.threads_of_task()
        _set_environment(gpu, threads)
        stop = StopSignals(self.stop_seconds)  # before the slow imports: no signal may arrive unhandled
        faulthandler.enable()
        _set_up_torch(threads)
        code = self._exit_code(gpu, stop)
        _end_despite_threads(code)
        return code

    def checkpoint(self) -> Any:
        """Return the same task to submitit, which asks after USR2 and before it requeues the job.

        The trials' own checkpoints have been written by then (see `_stopped`).
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _exit_code(self, gpu: str | None, stop: StopSignals) -> int:
        """Work, and return the exit code."""
        from irm_sweeps.worker.exceptions import Interrupted

        try:
            store, manifest = self._open_sweep()
            try:
                code = self._work(store, manifest, gpu, stop.requested)
                _wait_for_siblings(store, manifest, stop.requested)
            except Interrupted:
                return self._stopped(store, manifest, stop)
            stop.deadline.stopped()
            return code
        except UserError as error:
            return _refused(error)

    def _open_sweep(self) -> tuple[Store, Manifest]:
        """Read the sweep's manifest, and make the user's own classes that it names importable.

        Raises
        ------
        UserError
            There is no such sweep, it needs code that is not trusted, or the code is not what was submitted.
        """
        from irm_sweeps.store.manifest import read_manifest
        from irm_sweeps.store.store import Store

        store = Store(Path(self.results))
        manifest = read_manifest(store, self.sweep)
        if not self.trusted:
            manifest.check_needs_no_trust(store)
        manifest.check_package()
        if self.trusted:
            manifest.make_importable(store)
        return store, manifest

    def _work(self, store: Store, manifest: Manifest, gpu: str | None, stop_requested: threading.Event) -> int:
        """Work until nothing is left to claim, or nothing more can be done here; return the exit code."""
        from irm_sweeps.sweep.forecast import LaunchForecast
        from irm_sweeps.sweep.progress import Progress
        from irm_sweeps.worker.exceptions import DeviceLost, ProcessChanged
        from irm_sweeps.worker.registry import registered
        from irm_sweeps.worker.worker import Worker

        try:
            device = _open_device(manifest.settings.device, gpu)
            missing = sum(not store.has_result(trial) for trial in manifest.trials) if self.told else 0
            forecast = LaunchForecast(store, manifest, workers=1) if missing else None
            progress = Progress(missing, manifest.labels, forecast=forecast)

            def report(result: Result) -> None:
                if result.status == "failed" and not progress.failures:  # once: nobody reads the pipe until the end
                    tell(FAILURE)
                progress.add(result)

            worker = Worker(store, manifest, device, stop_requested=stop_requested, report=report)
            self._announce(manifest, missing, device)
            with registered(store, manifest, gpu):
                tell(AT_WORK)
                worker.work()
            self._summarise(store, manifest, progress)
        except DeviceLost as error:
            print(f"this worker ends, another may go on: {error}", file=sys.stderr)
            _leave_to_successor()
            return FAILED
        except ProcessChanged as error:
            print(f"this worker ends, and another process goes on: {error}", file=sys.stderr)
            _leave_to_successor()
            return FAILED
        except UserError as error:
            return _refused(error)
        return FAILED if worker.tally.failed else 0

    def _announce(self, manifest: Manifest, missing: int, device: torch.device) -> None:
        from irm_sweeps.wording import count

        if self.told:
            trials = count(len(manifest.trials), "trial")
            print(f"{manifest.name}: {missing} of {trials} have no result; working here on {device}", flush=True)
            if self.trusted and (changed := manifest.changed_modules()):
                print(f"{', '.join(changed)} changed since: what was submitted runs", flush=True)

    def _summarise(self, store: Store, manifest: Manifest, progress: Progress) -> None:
        """Print, for a person who watches, what has been done, and how many trials of the sweep have no result.

        Raises
        ------
        UserError
            Some have none, and no trial has failed, for which there is an exit code already.
        """
        from irm_sweeps.store.open_trials import open_trials_in_words
        from irm_sweeps.typed_commands import looking

        if not self.told:
            return
        print(progress.summary(), flush=True)
        if left := open_trials_in_words(store, manifest):
            message = f"{left}; how far it is: {looking('status', manifest.name, results=store.root)}"
            if not progress.failures:
                raise UserError(message)
            print(message, file=sys.stderr)

    def _stopped(self, store: Store, manifest: Manifest, stop: StopSignals) -> int:
        """Have the job requeued where it is to go on: its trials are saved and released. Return the exit code."""
        if self.told:
            print("stopped: what was being trained is saved, and any worker goes on with it", file=sys.stderr)
        stop.deadline.stopped()
        if stop.job_is_to_be_requeued():
            _let_siblings_save(store, manifest, stop.deadline.seconds_left())
            stop.requeue_job()
        return STOPPED


class StopSignals:
    """USR2, SIGTERM and SIGINT, which ask this process to save and stop; a second SIGINT interrupts at once.

    A process forked from this one ends at SIGTERM.

    Attributes
    ----------
    requested
        Set once one of them has arrived.
    deadline
        When this process is ended if it does not stop by itself.
    """

    def __init__(self, stop_seconds: float | None = None) -> None:
        self.requested = threading.Event()
        self.deadline = StopDeadline(stop_seconds, self.requeue_job, STOPPED)
        self._received: list[int] = []
        self._submitit = signal.getsignal(signal.SIGUSR2)
        for signum in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._receive)
        _let_children_end(self._receive)
        if slurm.is_submitted_task():
            self.deadline.watch()

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        del frame
        again = signum in self._received
        self._received.append(signum)
        self.requested.set()
        if again and signum == signal.SIGINT:
            raise KeyboardInterrupt

    def job_is_to_be_requeued(self) -> bool:
        """Return whether this is a job of submitit's, and SLURM takes its resources back or its time is up."""
        return callable(self._submitit) and (signal.SIGUSR2 in self._received or slurm.is_being_preempted())

    def requeue_job(self) -> None:
        """Let submitit store this task and requeue the job."""
        if callable(self._submitit):
            self._submitit(signal.SIGUSR2, None)


def _let_children_end(receive: Callable[[int, FrameType | None], None]) -> None:
    """Let SIGTERM end a process that a trial forks: `Pool.terminate` of multiprocessing sends one, maybe at once.

    Until the handler is away the signal is blocked, since a fork loses one that its parent's handler has received.
    """
    mask = threading.local()

    def block() -> None:
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def unblock_in_child() -> None:
        if signal.getsignal(signal.SIGTERM) == receive:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=unblock_in_child)


def _set_environment(gpu: str | None, threads: int | None) -> None:
    """Restrict this process to its GPU and threads; has no effect on what is imported already."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)


def _set_up_torch(threads: int | None) -> None:
    import torch

    from irm_sweeps.device import tame_allocator

    tame_allocator()
    if threads is not None:
        torch.set_num_threads(threads)


def _open_device(setting: str, gpu: str | None) -> torch.device:
    """Return the device to train on, which is known to work.

    A worker that was given one GPU sees no other, so `auto` means that GPU: were it broken, the CPU in its place would
    take days unnoticed.
    """
    import torch

    from irm_sweeps.device import choose_device, open_device

    device = torch.device("cuda") if gpu and setting != "cpu" else choose_device(setting)
    open_device(device)
    return device


def _wait_for_siblings(store: Store, manifest: Manifest, stop_requested: threading.Event) -> None:
    """Keep the first task of a job alive until the others are done: only the first requeues it (submitit's rule).

    Raises
    ------
    Interrupted
        A stop was requested meanwhile.
    """
    from irm_sweeps.worker.exceptions import Interrupted
    from irm_sweeps.worker.registry import siblings

    while slurm.is_first_of_several_tasks() and siblings(store, manifest):
        if stop_requested.wait(1.0):
            raise Interrupted


def _let_siblings_save(store: Store, manifest: Manifest, seconds: float) -> None:
    """Wait, in the first task of a job, until the others have saved; at most so long, or a minute."""
    from irm_sweeps.worker.registry import siblings

    deadline = time.monotonic() + min(seconds, SIBLINGS_SECONDS)
    while slurm.is_first_of_several_tasks() and siblings(store, manifest) and time.monotonic() < deadline:
        time.sleep(0.1)


def _leave_to_successor() -> None:
    """End this worker, where a successor can follow, and let that go on."""
    if has_successor():
        tell(REPLACE)
        _end_despite_threads(FAILED)
        sys.exit(FAILED)


def _end_despite_threads(code: int) -> None:
    """Let this process end with its main thread, though a trial has left a thread that would keep it alive."""
    from irm_sweeps.worker.lasting_changes import ends_by_itself

    def end() -> None:
        threading.main_thread().join()
        os._exit(code)

    if not ends_by_itself():
        threading.Thread(target=end, daemon=True).start()


def _refused(error: UserError) -> int:
    """Print why this worker cannot work here; return the exit code."""
    print(f"error: {error}", file=sys.stderr)
    return CANNOT_WORK
