"""The SLURM launcher: submits an array of workers through submitit; then the terminal may close."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from typing import Any

from irm_sweeps import slurm
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.slurm_jobs import JOB_NAME, JobRecord, in_words
from irm_sweeps.launchers.slurm_options import SlurmOptions
from irm_sweeps.launchers.watch_results import ResultWatcher
from irm_sweeps.launchers.worker_logs import complaints_of_ended_workers
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.slurm import JobState, SlurmError
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.typed_commands import looking

POLL_SECONDS = 2.0
ASK_SECONDS = 10.0
"""How often a waiting launcher asks SLURM for its jobs; it finds results in the store."""
LATE_RESULTS_SECONDS = 10.0
"""A network file system may show the last results this long after the jobs' end."""


class Slurm(Launcher):
    """Submits workers and returns; the manifest and the store do the rest."""

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options

    def workers(self, device: str) -> int:
        """Return the worker processes of all array tasks."""
        del device
        return self.options.workers * self.options.tasks_per_node

    def threads(self, device: str) -> int | None:
        """Return `cpus_per_task`."""
        del device
        return self.options.cpus_per_task

    def uses_gpu(self, device: str) -> bool:
        """Return whether the tasks ask for GPUs."""
        return device != "cpu" and bool(self.options.gpus_per_node)

    def run(self, store: Store, manifest: Manifest, progress: Progress) -> bool:
        """Submit as many array tasks as are not already queued; with `wait`, follow them.

        Raises
        ------
        UserError
            SLURM's commands are missing here or refuse the job; the message is SLURM's own.
        """
        self.check(manifest.settings.device)
        if special := re.search(r"[%\\]", str(store.root)):
            raise UserError(
                f"results={store.root}: SLURM gives {special[0]!r} in the name of a log a meaning of its own"
            )
        record = JobRecord(store, manifest)
        record.find_lost()
        queued = record.living()
        record.discard_pickles_of_ended(queued)
        if queued:
            print(f"{len(queued)} workers of an earlier launch are queued or running: {_brief(list(queued))}")
        missing = self._missing_tasks(manifest, queued)
        if missing > 0:
            ids = self._submit(store, manifest, record, missing)
            print(f"submitted {len(ids)} workers as SLURM jobs {_brief(ids)}")
        follow = looking("status", manifest.name, "--watch", results=store.root)
        cancel = looking("cancel", manifest.name, results=store.root)
        print(f"follow:  {follow}\ncancel:  {cancel}", flush=True)
        return self._wait(store, manifest, record, progress) if self.options.wait else False

    def check(self, device: str) -> None:
        """Check that the tasks get the device that is asked for."""
        if device.startswith("cuda:"):
            raise UserError(f"device={device}: SLURM chooses the GPU; use device=cuda or device=auto")
        if device == "cuda" and self.options.gpus_per_node == 0:
            raise UserError("device=cuda with hydra.launcher.gpus_per_node=0: ask for one or use device=cpu")

    def _missing_tasks(self, manifest: Manifest, queued: Mapping[str, JobState]) -> int:
        """Return how many array tasks are to be submitted besides those that are queued or running."""
        tasks = -(-len(manifest.stacks) // self.options.tasks_per_node)
        missing = min(self.options.workers, tasks) - len(queued)
        if queued and all(job.state != "PENDING" for job in queued.values()):
            return max(missing, 1)  # those that run know the trials of their own launch only
        return missing

    def _submit(self, store: Store, manifest: Manifest, record: JobRecord, tasks: int) -> list[str]:
        """Submit so many array tasks, in as many arrays as the site's greatest size makes necessary; return their ids.

        Raises
        ------
        UserError
            There is no SLURM here, or it refuses.
        """
        from submitit import SlurmExecutor

        if SlurmExecutor.affinity() < 0:
            raise UserError("hydra/launcher=slurm: no srun on this machine; use hydra/launcher=local")
        array_size = max(1, slurm.max_array_size() - 1)
        ids: list[str] = []
        for first in range(0, tasks, array_size):
            ids += self._submit_array(store, manifest, record, min(array_size, tasks - first))
        return ids

    def _submit_array(self, store: Store, manifest: Manifest, record: JobRecord, tasks: int) -> list[str]:
        from submitit.core.utils import FailedSubmissionError
        from submitit.helpers import clean_env

        task = WorkerTask(str(store.root), manifest.name, stop_seconds=self.options.seconds_to_stop)
        executor = self._executor(manifest, store)
        record.about_to_submit()
        # Within a job its SLURM_* variables would become the workers' options.
        outside_any_job = clean_env() if slurm.is_inside_job() else nullcontext()
        own_options = slurm.options_of_the_launcher_only()
        try:
            with redirect_stderr(io.StringIO()), outside_any_job, own_options, executor.batch():
                jobs = [executor.submit(task) for _ in range(tasks)]
        except FailedSubmissionError as error:  # sbatch did not refuse: the next command looks for the jobs
            raise UserError(
                f"jobs may have been submitted, and their ids are not known: {slurm.in_one_line(error)}; "
                "`squeue --me` shows them, and the same command again finds those that wait or run"
            ) from None
        except Exception as error:  # submitit raises its own, subprocess's and the file system's errors
            record.submitted([])
            raise UserError(f"sbatch refused the workers: {slurm.in_one_line(error)}") from None
        ids = [job.job_id for job in jobs]
        record.submitted(ids)
        return ids

    def _executor(self, manifest: Manifest, store: Store) -> Any:
        from submitit import AutoExecutor

        executor = AutoExecutor(
            manifest.folder(store) / "jobs",
            cluster="slurm",
            slurm_max_num_timeout=self.options.max_requeues,
        )
        executor.update_parameters(name=JOB_NAME, **self.options.parameters())
        return executor

    def _wait(self, store: Store, manifest: Manifest, record: JobRecord, progress: Progress) -> bool:
        """Print each change of the jobs' states until all results are there.

        Raises
        ------
        UserError
            All jobs have ended and trials have no result.
        """
        watcher = ResultWatcher(store, manifest, progress)
        asked, printed = float("-inf"), ""
        while True:
            watcher.poll()
            if watcher.complete:
                return True
            if time.monotonic() - asked >= ASK_SECONDS:
                try:
                    jobs = record.living()
                except SlurmError as error:
                    line = f"SLURM does not answer, trying again: {error}"
                else:
                    line = f"SLURM: {in_words(jobs)}"
                    record.discard_pickles_of_ended(jobs)
                    if not jobs:
                        return _all_jobs_ended(watcher, complaints_of_ended_workers(store, manifest))
                if line != printed:
                    print(line, flush=True)
                asked, printed = time.monotonic(), line
            time.sleep(POLL_SECONDS)


def _all_jobs_ended(watcher: ResultWatcher, complaints: Collection[str]) -> bool:
    """Wait for late results; return True, or raise UserError where there is an open trial and no error stopped it."""
    deadline = time.monotonic() + LATE_RESULTS_SECONDS
    while time.monotonic() < deadline:
        watcher.poll()
        if watcher.complete or watcher.stopped_by_error():
            return True
        time.sleep(POLL_SECONDS)
    message = f"; last message: {next(iter(complaints))}" if complaints else ""
    raise UserError(f"all jobs have ended and trials are left: issue the command again to go on{message}")


def _brief(ids: Sequence[str]) -> str:
    """Return `12_0 ... 12_5` for one array, a list where the ids are few."""
    if len(ids) <= 8:
        return ", ".join(ids)
    arrays: dict[str, list[str]] = {}
    for job in ids:
        arrays.setdefault(job.partition("_")[0], []).append(job)
    return ", ".join(jobs[0] if len(jobs) == 1 else f"{jobs[0]} ... {jobs[-1]}" for jobs in arrays.values())
