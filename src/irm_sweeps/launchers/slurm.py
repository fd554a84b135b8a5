"""SLURM: an array of workers, submitted through submitit; then the terminal may close."""

from __future__ import annotations

import io
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from irm_sweeps.commands import looking
from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.entry import WorkerTask
from irm_sweeps.sweep.files import DamagedFile, discard, make_folder, read_json, to_json, write_atomically, write_once
from irm_sweeps.sweep.follow import Follower
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.manifest import Manifest
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.store import Store

POLL_SECONDS = 2.0
ASK_SECONDS = 10.0
"""How often a following launcher asks SLURM for its jobs; results it sees by itself."""
JOB_NAME = "irm_sweeps"
PositiveInt = Annotated[int, Field(ge=1)]

_JOB_ID = re.compile(r"[0-9]{1,18}(_[0-9]{1,9})?")


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
        self._check_device(manifest.settings["device"])
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
            except Exception as error:  # submitit raises its own, subprocess's and the file system's errors
                record.submitted([])
                raise UserError(f"sbatch refused the workers: {_reason(error)}") from None
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
                        return self._all_ended(follower)
                if now != said:
                    print(now, flush=True)
                asked, said = time.monotonic(), now
            time.sleep(POLL_SECONDS)

    @staticmethod
    def _all_ended(follower: Follower) -> bool:
        deadline = time.monotonic() + ASK_SECONDS  # a network file system may show the last results late
        while time.monotonic() < deadline:
            follower.poll()
            if follower.complete or follower.stopped_by_error():
                return True
            time.sleep(POLL_SECONDS)
        raise UserError("all jobs have ended and trials are left: issue the command again to go on")


class SlurmError(UserError):
    """SLURM's commands are missing here, or its controller does not answer."""


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
        """Return all ids ever submitted, e.g. `12_0`, in order; none if the record is damaged (see `cut_short`)."""
        return self._read() or []

    def _read(self) -> list[str] | None:
        """Return the ids, or None if the record is damaged."""
        try:
            jobs = [str(job) for job in read_json(self.path)["jobs"]]
        except FileNotFoundError:
            return []
        except (DamagedFile, KeyError, TypeError):
            return None
        return jobs if all(_JOB_ID.fullmatch(job) for job in jobs) else None

    def about_to_submit(self) -> None:
        """Leave the token."""
        make_folder(self._folder)
        write_once(self._token, b"")

    def submitted(self, ids: Sequence[str]) -> None:
        """Record ids and remove the token."""
        if ids or self._read() is None:
            write_atomically(self.path, to_json({"jobs": list(dict.fromkeys([*self.ids(), *ids]))}))
        discard(self._token)

    def cut_short(self) -> bool:
        """Return whether ids are missing from the record; `find_lost` finds them.

        It is damaged, or a launcher is, or died, between sbatch and the record.
        """
        return self._read() is None or any(self._folder.glob("submitting.*"))

    def find_lost(self) -> list[str]:
        """Record, and return, the queued jobs that the record should have and has not, by their batch script.

        Raises
        ------
        SlurmError
            SLURM does not answer; it is not asked where nothing was cut short.
        """
        if not self.cut_short():
            return []
        tokens = list(self._folder.glob("submitting.*"))
        answer = _slurm(["squeue", "--noheader", "--array", f"--name={JOB_NAME}", "--format=%i|%o"])
        scripts = str(self._folder / "jobs") + "/"
        rows = [line.partition("|") for line in answer.splitlines()]
        known = set(self.ids())
        lost = [job for job, _, script in rows if script.startswith(scripts) and job not in known]
        self.submitted(lost)
        for token in tokens:
            discard(token)
        return lost

    def living(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of the jobs that SLURM still has queued or running, by id.

        Raises
        ------
        SlurmError
            SLURM does not answer.
        """
        ids = self.ids()
        if not ids:
            return {}
        arrays = sorted({job.partition("_")[0] for job in ids}, key=int)
        command = [
            "squeue",
            "--noheader",
            "--array",
            f"--name={JOB_NAME}",
            "--format=%i|%T|%r",
            "--jobs",
            ",".join(arrays),
        ]
        try:
            answer = _slurm(command)
        except SlurmError as error:
            if "Invalid job id" in str(error):  # all of them ended long ago
                return {}
            raise
        found = {}
        for line in answer.splitlines():
            job, state, reason = line.split("|", 2)
            found[job] = (state, reason)
        return {job: found[job] for job in ids if job in found}

    def cancel(self) -> list[str]:
        """Cancel what is queued or running; return its ids.

        Raises
        ------
        SlurmError
            SLURM does not answer, or refuses.
        """
        self.find_lost()
        living = list(self.living())
        if living:
            _slurm(["scancel", *living])
        return living


def in_words(jobs: Mapping[str, tuple[str, str]]) -> str:
    """Return e.g. `2 RUNNING, 6 PENDING (Resources)`."""
    said = Counter(state + (f" ({reason})" if state == "PENDING" else "") for state, reason in jobs.values())
    return ", ".join(f"{n} {state}" for state, n in sorted(said.items(), reverse=True)) or "no jobs"


def max_array_size() -> int:
    """Return the site's MaxArraySize; 1001, SLURM's default, where it cannot be asked."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", _slurm(["scontrol", "show", "config"]))
    except SlurmError:
        found = None
    return int(found[1]) if found else 1001


def _slurm(command: Sequence[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if answer.returncode != 0:
        raise SlurmError(f"{command[0]}: {_reason(answer.stderr)}")
    return answer.stdout


def _reason(error: Exception | str) -> str:
    """Return SLURM's complaint on one line."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Try ")]
    return "; ".join(said[-3:]) or repr(error)


def _brief(ids: Sequence[str]) -> str:
    """Return `12_0 ... 12_5` for one array, a list where the ids are few."""
    if len(ids) <= 8:
        return ", ".join(ids)
    arrays: dict[str, list[str]] = {}
    for job in ids:
        arrays.setdefault(job.partition("_")[0], []).append(job)
    return ", ".join(jobs[0] if len(jobs) == 1 else f"{jobs[0]} ... {jobs[-1]}" for jobs in arrays.values())
