"""SLURM: an array of workers, submitted through submitit; then the terminal may close."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.entry import WorkerTask
from irm_sweeps.launchers.launcher import Launcher
from irm_sweeps.sweep.files import DamagedFile, make_folder, read_json, to_json, write_atomically
from irm_sweeps.sweep.follow import Follower
from irm_sweeps.sweep.manifest import Manifest
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.store import Store

POLL_SECONDS = 2.0
PositiveInt = Annotated[int, Field(ge=1)]


class SlurmOptions(Config):
    """What to ask SLURM for. A null field is left to the site's default."""

    workers: PositiveInt
    """Array tasks; never more than there are stacks."""
    runs_per_gpu: PositiveInt
    """Worker processes per array task, sharing its GPU."""
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
    additional: dict[str, str | int | bool]
    """Any further sbatch option, e.g. `{nice: 100, requeue: true}`."""
    wait: bool
    """Follow the sweep instead of returning after submission."""

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> SlurmOptions:
        """Validate `hydra.launcher`."""
        return validated(cls, values, prefix="hydra.launcher.")

    def parameters(self) -> dict[str, Any]:
        """Return submitit's names for what is set."""
        wanted = {
            "timeout_min": self.timeout_min,
            "mem_gb": self.mem_gb,
            "cpus_per_task": self.cpus_per_task,
            "gpus_per_node": self.gpus_per_node,
            "tasks_per_node": self.runs_per_gpu,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_qos": self.qos,
            "slurm_constraint": self.constraint,
            "slurm_array_parallelism": self.array_parallelism,
            "slurm_signal_delay_s": self.signal_delay_s,
            "slurm_setup": self.setup or None,
            "slurm_additional_parameters": self.additional or None,
        }
        return {name: value for name, value in wanted.items() if value is not None}


class Slurm(Launcher):
    """Submits workers and returns; the manifest and the store do the rest."""

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options

    def workers(self, device: str) -> int:
        """Return the worker processes of all array tasks."""
        del device
        return self.options.workers * self.options.runs_per_gpu

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
        record = JobRecord(store, manifest)
        queued = record.living()
        tasks = -(-len(manifest.stacks) // self.options.runs_per_gpu)
        wanted = min(self.options.workers, tasks) - len(queued)
        if queued:
            print(f"{len(queued)} workers of an earlier launch are queued or running: {', '.join(queued)}")
        if wanted > 0:
            ids = self._submit(store, manifest, record, wanted)
            print(f"submitted {len(ids)} workers as SLURM jobs {', '.join(ids)}")
        print(f"follow:  irm-sweeps status {manifest.name} --results {store.root} --watch")
        print(f"cancel:  irm-sweeps cancel {manifest.name} --results {store.root}")
        return self._follow(store, manifest, record, progress) if self.options.wait else False

    def _submit(self, store: Store, manifest: Manifest, record: JobRecord, wanted: int) -> list[str]:
        from submitit import SlurmExecutor

        if not SlurmExecutor.affinity() >= 0:
            raise UserError("hydra/launcher=slurm: no srun on this machine; use hydra/launcher=local")
        task = WorkerTask(str(store.root), manifest.name)
        most = max_array_size() - 1
        ids: list[str] = []
        for first in range(0, wanted, most):
            executor = self._executor(manifest, store)
            record.about_to_submit()
            try:
                with executor.batch():
                    jobs = [executor.submit(task) for _ in range(min(most, wanted - first))]
            except Exception as error:  # submitit raises its own, subprocess's and the file system's errors
                record.submitted([])
                raise UserError(f"sbatch refused the workers: {_last_line(error)}") from None
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
        executor.update_parameters(name="irm_sweeps", **self.options.parameters())
        return executor

    def _follow(self, store: Store, manifest: Manifest, record: JobRecord, progress: Progress) -> bool:
        follower = Follower(store, manifest, progress)
        while True:
            follower.poll()
            if follower.complete:
                return True
            if not record.living():
                follower.poll()
                if not follower.complete:
                    print("all jobs have ended and trials are left: issue the command again to go on")
                return True
            time.sleep(POLL_SECONDS)


class JobRecord:
    """The SLURM jobs submitted for a sweep: `results/sweeps/<sweep>/jobs.json`.

    A token file stands while a submission is under way, so that one cut short is seen later.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._folder = manifest.folder(store)
        self._token = self._folder / f"submitting.{manifest.launch}"

    @property
    def path(self) -> Path:
        """Where the ids are."""
        return self._folder / "jobs.json"

    def ids(self) -> list[str]:
        """Return all ids ever submitted, e.g. `12_0`, in order."""
        try:
            return [str(job) for job in read_json(self.path)["jobs"]]
        except (FileNotFoundError, DamagedFile, KeyError, TypeError):
            return []

    def about_to_submit(self) -> None:
        """Leave the token."""
        make_folder(self._folder)
        self._token.touch()

    def submitted(self, ids: Sequence[str]) -> None:
        """Record ids and remove the token."""
        if ids:
            write_atomically(self.path, to_json({"jobs": [*self.ids(), *ids]}))
        self._token.unlink(missing_ok=True)

    def cut_short(self) -> bool:
        """Return whether a launcher died between sbatch and the record: see `squeue --name irm_sweeps`."""
        return any(self._folder.glob("submitting.*"))

    def living(self) -> list[str]:
        """Return the ids that SLURM still has queued or running."""
        ids = self.ids()
        if not ids:
            return []
        arrays = sorted({job.partition("_")[0] for job in ids})
        answer = _slurm(["squeue", "--noheader", "--array", "--format=%i", "--jobs", ",".join(arrays)])
        if answer is None:
            return []
        there = set(answer.split())
        return [job for job in ids if job in there]

    def cancel(self) -> list[str]:
        """Cancel what is queued or running; return its ids."""
        living = self.living()
        if living:
            _slurm(["scancel", *living])
        return living


def max_array_size() -> int:
    """Return the site's MaxArraySize; 1001, SLURM's default, where it cannot be asked."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _slurm(["scontrol", "show", "config"]) or "")
    return int(found[1]) if found else 1001


def _slurm(command: Sequence[str]) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _last_line(error: Exception) -> str:
    output = getattr(error, "stderr", None) or str(error)
    text = output.decode(errors="replace") if isinstance(output, bytes) else str(output)
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else repr(error)
