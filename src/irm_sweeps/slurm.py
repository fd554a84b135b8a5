"""What SLURM says: the answers of its commands, and the variables that it sets in a job.

No other module runs one of SLURM's commands or reads one of its variables.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from irm_sweeps.errors import UserError

QUICK_SECONDS = 20.0
"""How long a worker waits for an answer: it has trials to train or to save."""
PATIENT_SECONDS = 60.0
"""How long a command that a person typed waits for an answer."""
DEFAULT_MAX_ARRAY_SIZE = 1001
_ENDED = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
) | {"REVOKED", "TIMEOUT"}
"""The states that mean that a job has ended (squeue(1), JOB STATE CODES). A state of any other name means nothing."""
_STATE = re.compile(r"([A-Z_]+)(\+| by .*)?")
"""A state as squeue and sacct write it, e.g. `RUNNING`, `CANCELLED+`, `CANCELLED by 0`."""
_JOB_IS_UNKNOWN = "Invalid job id"
"""SLURM's complaint about jobs that ended long ago, and about those of another cluster."""
_HEADING_OF_CLUSTER = "CLUSTER: "
"""How a line begins that squeue prints above a cluster's jobs where SLURM_CLUSTERS names clusters."""
_DEFAULTS_OF_COMMANDS = ("SQUEUE_", "SCANCEL_")
"""How the variables begin by which a user filters or formats what these commands do when typed."""
_DEFAULTS_OF_SBATCH = tuple(
    f"SBATCH_{name}"
    for name in ("JOB_NAME", "ARRAY_INX", "OUTPUT", "ERROR", "OPEN_MODE", "SIGNAL", "TIMELIMIT", "CLUSTERS", "WAIT")
)
"""Variables that sbatch prefers to a script's options; these contradict what the launcher asks for or records."""
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
"""One of these is set in a job, or a step of one, that SLURM gave GPUs."""


class SlurmError(UserError):
    """SLURM's commands are missing here, or its controller does not answer."""


class JobsUnknownError(SlurmError):
    """The cluster that was asked does not know the jobs: they ended long ago, or are another cluster's."""


class JobState(NamedTuple):
    """What squeue says of a job: its state, e.g. `PENDING`, and the reason, e.g. `Resources` (`None` if running)."""

    state: str
    reason: str


# -- commands ----------------------------------------------------------------------------------------


def ask(command: Sequence[str], timeout: float = PATIENT_SECONDS) -> str:
    """Run one of SLURM's commands, without the user's filters and formats for it, and return what it prints.

    Raises
    ------
    JobsUnknownError
        The cluster does not know the jobs that are asked about.
    SlurmError
        It is missing here, fails, or takes more than `timeout` seconds; the message is SLURM's own.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_DEFAULTS_OF_COMMANDS)}
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment
        )
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if answer.returncode != 0:
        kind = JobsUnknownError if _JOB_IS_UNKNOWN in answer.stderr else SlurmError
        raise kind(f"{command[0]}: {in_one_line(answer.stderr)}")
    return answer.stdout


def in_one_line(error: Exception | str) -> str:
    """Return SLURM's complaint on one line."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in str(error).splitlines()]
    complaints = [line for line in lines if line and not line.startswith("Try ")]
    return "; ".join(complaints[-3:]) or repr(error)


def queued_jobs(name: str, arrays: Sequence[str]) -> dict[str, JobState]:
    """Return the jobs with this name, of these arrays, that are queued or running: id, e.g. `12_0` -> state.

    Raises
    ------
    JobsUnknownError
        The cluster knows none of them.
    SlurmError
        SLURM does not answer, or in a form that is not known.
    """
    filters = [f"--name={name}", "--format=%i|%T|%r", "--jobs", ",".join(arrays)]
    rows = _rows(["--array", *filters], fields=3)
    return {job: JobState(state, reason) for job, state, reason in rows if not _means_ended(state)}


def batch_scripts(name: str) -> dict[str, str]:
    """Return the batch script of every queued or running job with this name, by job id.

    Raises
    ------
    SlurmError
        SLURM does not answer, or in a form that is not known.
    """
    rows = _rows(["--array", f"--name={name}", "--format=%i|%o"], fields=2)
    return {job: script for job, script in rows}  # noqa: C416


def has_ended(job: str, cluster: str | None = None) -> bool:
    """Return True only if SLURM gives a state to the job that means that it has ended.

    A job that is not listed may be another cluster's, or another user's whose jobs SLURM hides (`PrivateData`).

    Parameters
    ----------
    cluster
        The cluster that the job runs on, None if unknown: another cluster may have a job of the same id.
    """
    if cluster is not None and cluster != cluster_name():
        return False
    try:
        rows = _rows(["--states=all", "--format=%T", "--jobs", job], fields=1, timeout=QUICK_SECONDS)
    except SlurmError:
        return False
    return bool(rows) and all(_means_ended(state) for (state,) in rows)


def _means_ended(state: str) -> bool:
    word = _STATE.fullmatch(state)
    return word is not None and word[1] in _ENDED


def _rows(options: Sequence[str], fields: int, timeout: float = PATIENT_SECONDS) -> list[tuple[str, ...]]:
    """Ask squeue, also for the jobs in hidden partitions; return the fields of each line, without spaces around them.

    Raises
    ------
    SlurmError
        It does not answer, or a line has other fields.
    """
    answer = ask(["squeue", "--noheader", "--all", *options], timeout)
    rows = []
    for line in answer.splitlines():
        if not line.strip() or line.startswith(_HEADING_OF_CLUSTER):
            continue
        row = tuple(field.strip() for field in line.split("|", fields - 1))
        if len(row) != fields or not all(row[:-1]):
            raise SlurmError(f"squeue: a line of another form than was asked for: {line.strip()[:200]!r}")
        rows.append(row)
    return rows


def cancel(jobs: Sequence[str]) -> None:
    """Cancel these jobs.

    Raises
    ------
    SlurmError
        SLURM does not answer, or refuses.
    """
    ask(["scancel", *jobs])


def max_array_size() -> int:
    """Return the site's MaxArraySize; SLURM's default where it cannot be asked."""
    size = _setting("MaxArraySize")
    return int(size) if size and size.isdigit() else DEFAULT_MAX_ARRAY_SIZE


def hides_jobs_of_others() -> bool:
    """Return whether SLURM may show a user no jobs of others (`PrivateData=jobs`); True where it cannot be asked."""
    private = _setting("PrivateData")
    return private is None or "jobs" in private.split(",")


def cluster_name() -> str | None:
    """Return the name of the cluster that SLURM's commands ask here; None where it cannot be asked."""
    return os.environ.get("SLURM_CLUSTERS") or job_cluster() or _setting("ClusterName")


def _setting(name: str) -> str | None:
    """Return a setting of the site's; None where SLURM does not tell it."""
    try:
        found = re.search(rf"^{name}\s*=\s*(\S+)", ask(["scontrol", "show", "config"]), re.MULTILINE)
    except SlurmError:
        return None
    return found[1] if found else None


def is_being_preempted() -> bool:
    """Return whether SLURM is taking this job's resources back: it then requeues only a job that lives to the end.

    Most sites announce a preemption by SIGTERM, which `scancel` and `scontrol requeue` send as well.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    try:
        fields = ask(["scontrol", "show", "job", job], QUICK_SECONDS).split()
    except SlurmError:
        return False
    preemption = [field for field in fields if field.startswith("PreemptTime=") and field != "PreemptTime=None"]
    return "JobState=RUNNING" in fields and bool(preemption)


# -- variables ---------------------------------------------------------------------------------------


def is_inside_job() -> bool:
    """Return whether this process runs in a job, whoever started it."""
    return "SLURM_JOB_ID" in os.environ


@contextmanager
def options_of_the_launcher_only() -> Iterator[None]:
    """Hide from sbatch, while the block runs, the variables that would override what the launcher asks for."""
    hidden = {name: os.environ.pop(name) for name in _DEFAULTS_OF_SBATCH if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def is_submitted_task() -> bool:
    """Return whether submitit started this process as a task of a job.

    A worker of a local pool within somebody's job is no such task.
    """
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def be_no_submitted_task() -> None:
    """Let this process and its children be no task of the submitit job in which their launcher may run."""
    os.environ["SUBMITIT_EXECUTOR"] = "local"


def job_id() -> str | None:
    """Return this process's job, `1234` or, in an array, `1234_5`; None outside any job."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    return os.environ.get("SLURM_JOB_ID")


def job_cluster() -> str | None:
    """Return the name of the cluster that this process's job runs on; None outside any job."""
    return os.environ.get("SLURM_CLUSTER_NAME") if is_inside_job() else None


def restart_count() -> int:
    """Return how often SLURM had requeued this job when the process began."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def rank() -> str:
    """Return the number of this process among the tasks of its job."""
    return os.environ.get("SLURM_PROCID", "0")


def has_several_tasks() -> bool:
    """Return whether this process's job has several tasks."""
    return int(os.environ.get("SLURM_NTASKS", "1")) > 1


def is_first_of_several_tasks() -> bool:
    """Return whether this process is the first of several tasks of one job."""
    return has_several_tasks() and os.environ.get("SLURM_PROCID") == "0"


def gpu_of_task() -> str | None:
    """Return the GPU of this task of a job, as CUDA_VISIBLE_DEVICES names it.

    SLURM shows every task all GPUs that the job has on the node. None where SLURM gave the job none:
    CUDA_VISIBLE_DEVICES is then what the submitting shell had, or a placeholder.
    """
    if not is_submitted_task() or not any(os.environ.get(name) for name in _GPU_VARIABLES):
        return None
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return gpus[int(os.environ.get("SLURM_LOCALID", "0")) % len(gpus)] if gpus else None


def threads_of_task() -> int | None:
    """Return this task's share of the CPUs that SLURM gave its job on this node; None outside any job."""
    if cpus_of_task := os.environ.get("SLURM_CPUS_PER_TASK"):
        return int(cpus_of_task)
    cpus_on_node = os.environ.get("SLURM_CPUS_ON_NODE")
    tasks = int(os.environ.get("SLURM_NTASKS_PER_NODE") or os.environ.get("SLURM_NTASKS") or "1")
    return None if cpus_on_node is None else max(1, int(cpus_on_node) // tasks)
