"""SLURM: an array of workers, submitted through submitit; then the terminal may close."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from typing import Annotated, Any

from pydantic import Field, field_validator

from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.slurm_jobs import JOB_NAME, JobRecord, SlurmError, in_one_line, in_words, max_array_size
from irm_sweeps.launchers.watch_results import Follower
from irm_sweeps.launchers.worker_logs import last_words
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.typed_commands import looking

POLL_SECONDS = 2.0
ASK_SECONDS = 10.0
"""How often a following launcher asks SLURM for its jobs; results it sees by itself."""
PositiveInt = Annotated[int, Field(ge=1)]


_OWN = {
    "job_name": "status, cancel and the next launch find the jobs by it",
    "array": "workers and array_parallelism say how many there are",
    "output": "the logs lie in the sweep's folder",
    "error": "the logs lie in the sweep's folder",
    "open_mode": "a requeued worker goes on in its log",
    "parsable": "the jobs' ids are read from the sentence that sbatch prints without it",
    "quiet": "the jobs' ids are read from the sentence that sbatch prints without it",
    "test_only": "nothing would be submitted; plan=true says what would run",
    "clusters": "status and cancel ask the cluster of this machine",
}
"""What the launcher itself tells sbatch and relies on, and why nobody else may."""


class SlurmOptions(Config):
    """What to ask SLURM for. A null field is left to the site's default."""

    workers: PositiveInt
    """Array tasks; never more than there are stacks."""
    runs_per_gpu: PositiveInt
    """Worker processes of an array task: so many for each of its GPUs, or in all where it asks for none."""
    timeout_min: PositiveInt
    """Time limit of a task in minutes; a task that reaches it saves, is requeued and goes on."""
    max_requeues: Annotated[int, Field(ge=0)]
    """How often a task may reach its time limit before it stays ended."""
    signal_delay_s: PositiveInt
    """Seconds before the time limit at which SLURM asks for a checkpoint."""
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    mem_gb: Annotated[float, Field(gt=0)] | None
    cpus_per_task: PositiveInt | None
    gpus_per_node: Annotated[int, Field(ge=0)] | None
    array_parallelism: PositiveInt
    """Array tasks that run at the same time, at most."""
    setup: list[str]
    """Shell lines before the worker starts, e.g. `module load cuda`."""
    additional: dict[str, bool | int | str] | None
    """Any further sbatch option, e.g. `{nice: 100, exclusive: true}`; true means a flag without a value."""
    wait: bool
    """Follow the sweep instead of returning after submission."""

    @field_validator("partition", "account", "qos", "constraint", "additional")
    @classmethod
    def _on_one_line(cls, value: Any) -> Any:
        """Refuse what would end the comment of a batch script in which it stands: the next line is a command."""
        words = [*value.keys(), *map(str, value.values())] if isinstance(value, dict) else [value or ""]
        if not all(word.isprintable() for word in words):
            raise ValueError("a control character, such as the end of a line, is no part of an sbatch option")
        if isinstance(value, dict) and (odd := [key for key in value if not re.fullmatch(r"[A-Za-z][\w-]*", key)]):
            raise ValueError(f"{odd[0]!r} is no name of an sbatch option")
        return value

    @field_validator("additional")
    @classmethod
    def _leaves_ours(cls, value: dict[str, bool | int | str] | None) -> dict[str, bool | int | str] | None:
        """Refuse what would hide the jobs from this package, also by the beginning of its name, which sbatch takes."""
        for key in value or {}:
            for own, why in _OWN.items():
                if own.startswith(key.replace("-", "_")):
                    raise ValueError(f"{key} is the launcher's own: {why}")
        return value

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> SlurmOptions:
        """Validate `hydra.launcher`."""
        return validated(cls, values, prefix="hydra.launcher.")

    @property
    def tasks_per_node(self) -> int:
        """Worker processes of one array task."""
        return self.runs_per_gpu * max(1, self.gpus_per_node or 1)

    def parameters(self) -> dict[str, Any]:
        """Return submitit's names for what is set."""
        # A worker that ends must not take the others of its task along, whatever the site's default is.
        srun = ["--kill-on-bad-exit=0", "--wait=0"]
        if self.cpus_per_task is not None:
            srun.append(f"--cpus-per-task={self.cpus_per_task}")  # since SLURM 22.05 srun does not inherit it
        wanted = {
            "timeout_min": self.timeout_min,
            "mem_gb": self.mem_gb,
            "cpus_per_task": self.cpus_per_task,
            "gpus_per_node": self.gpus_per_node,
            "tasks_per_node": self.tasks_per_node,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_qos": self.qos,
            "slurm_constraint": self.constraint,
            "slurm_array_parallelism": self.array_parallelism,
            "slurm_signal_delay_s": self.signal_delay_s,
            "slurm_setup": self.setup or None,
            "slurm_additional_parameters": {k: v for k, v in (self.additional or {}).items() if v is not False},
            "slurm_srun_args": srun,
        }
        return {name: value for name, value in wanted.items() if value is not None}


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
        self._check_device(manifest.settings.device)
        if odd := re.search(r"[%\\]", str(store.root)):
            raise UserError(f"results={store.root}: SLURM gives {odd[0]!r} in the name of a log a meaning of its own")
        record = JobRecord(store, manifest)
        record.find_lost()
        queued = record.living()
        tasks = -(-len(manifest.stacks) // self.options.tasks_per_node)
        wanted = min(self.options.workers, tasks) - len(queued)
        if queued:
            print(f"{len(queued)} workers of an earlier launch are queued or running: {_brief(list(queued))}")
            if "PENDING" not in {state for state, _ in queued.values()}:
                wanted = max(wanted, 1)  # those that run know the trials of their own launch only
        if wanted > 0:
            ids = self._submit(store, manifest, record, wanted)
            print(f"submitted {len(ids)} workers as SLURM jobs {_brief(ids)}")
        follow = looking("status", manifest.name, "--watch", results=store.root)
        cancel = looking("cancel", manifest.name, results=store.root)
        print(f"follow:  {follow}\ncancel:  {cancel}", flush=True)
        return self._follow(store, manifest, record, progress) if self.options.wait else False

    def _check_device(self, device: str) -> None:
        if device.startswith("cuda:"):
            raise UserError(f"device={device}: SLURM chooses the GPU; use device=cuda or device=auto")
        if device == "cuda" and self.options.gpus_per_node == 0:
            raise UserError("device=cuda with hydra.launcher.gpus_per_node=0: ask for one or use device=cpu")

    def _submit(self, store: Store, manifest: Manifest, record: JobRecord, wanted: int) -> list[str]:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedSubmissionError
        from submitit.helpers import clean_env

        if SlurmExecutor.affinity() < 0:
            raise UserError("hydra/launcher=slurm: no srun on this machine; use hydra/launcher=local")
        task = WorkerTask(str(store.root), manifest.name)
        most = max(1, max_array_size() - 1)
        ids: list[str] = []
        for first in range(0, wanted, most):
            executor = self._executor(manifest, store)
            record.about_to_submit()
            # Within a job its SLURM_* variables would become the workers' options.
            outside_any_job = clean_env() if "SLURM_JOB_ID" in os.environ else nullcontext()
            try:
                with redirect_stderr(io.StringIO()), outside_any_job, executor.batch():
                    jobs = [executor.submit(task) for _ in range(min(most, wanted - first))]
            except FailedSubmissionError as error:  # sbatch did not refuse: the next command looks for the jobs
                raise UserError(
                    f"jobs may have been submitted, and their ids are not known: {in_one_line(error)}; `squeue --me` "
                    "shows them, and the same command again finds those that wait or run"
                ) from None
            except Exception as error:  # submitit raises its own, subprocess's and the file system's errors
                record.submitted([])
                raise UserError(f"sbatch refused the workers: {in_one_line(error)}") from None
            ids += [job.job_id for job in jobs]
            record.submitted([job.job_id for job in jobs])
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

    def _follow(self, store: Store, manifest: Manifest, record: JobRecord, progress: Progress) -> bool:
        follower = Follower(store, manifest, progress)
        asked, said = float("-inf"), ""
        while True:
            follower.poll()
            if follower.complete:
                return True
            if time.monotonic() - asked >= ASK_SECONDS:
                try:
                    jobs = record.living()
                except SlurmError as error:
                    now = f"SLURM does not answer, trying again: {error}"
                else:
                    now = f"SLURM: {in_words(jobs)}"
                    if not jobs:
                        return self._all_ended(follower, last_words(store, manifest))
                if now != said:
                    print(now, flush=True)
                asked, said = time.monotonic(), now
            time.sleep(POLL_SECONDS)

    @staticmethod
    def _all_ended(follower: Follower, said: Collection[str]) -> bool:
        deadline = time.monotonic() + ASK_SECONDS  # a network file system may show the last results late
        while time.monotonic() < deadline:
            follower.poll()
            if follower.complete or follower.stopped_by_error():
                return True
            time.sleep(POLL_SECONDS)
        words = f"; last words: {next(iter(said))}" if said else ""
        raise UserError(f"all jobs have ended and trials are left: issue the command again to go on{words}")


def _brief(ids: Sequence[str]) -> str:
    """Return `12_0 ... 12_5` for one array, a list where the ids are few."""
    if len(ids) <= 8:
        return ", ".join(ids)
    arrays: dict[str, list[str]] = {}
    for job in ids:
        arrays.setdefault(job.partition("_")[0], []).append(job)
    return ", ".join(jobs[0] if len(jobs) == 1 else f"{jobs[0]} ... {jobs[-1]}" for jobs in arrays.values())
