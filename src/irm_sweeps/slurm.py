"""What SLURM says: the answers of its commands, and the variables that it sets in a job.

No other module runs one of SLURM's commands or reads one of its variables.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from irm_sweeps.errors import UserError

QUICK_SECONDS = 20.0
"""How long a worker waits for an answer: it has trials to train or to save."""
PATIENT_SECONDS = 60.0
"""How long a command that a person typed waits for an answer."""
DEFAULT_MAX_ARRAY_SIZE = 1001
_STATES_BEFORE_THE_END = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STOPPED", "REQUEUED")
_JOB_IS_UNKNOWN = "Invalid job id"
"""SLURM's complaint about jobs that ended long ago."""
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
"""One of these is set in a job, or a step of one, that SLURM gave GPUs."""


class SlurmError(UserError):
    """SLURM's commands are missing here, or its controller does not answer."""


class JobState(NamedTuple):
    """What squeue says of a job: its state, e.g. `PENDING`, and the reason, e.g. `Resources` (`None` if running)."""

    state: str
    reason: str


# -- commands ----------------------------------------------------------------------------------------


def ask(command: Sequence[str], timeout: float = PATIENT_SECONDS) -> str:
    """Run one of SLURM's commands and return what it prints.

    Raises
    ------
    SlurmError
        It is missing here, fails, or takes more than `timeout` seconds; the message is SLURM's own.
    """
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if answer.returncode != 0:
        raise SlurmError(f"{command[0]}: {in_one_line(answer.stderr)}")
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
    SlurmError
        SLURM does not answer.
    """
    filters = [f"--name={name}", "--format=%i|%T|%r", "--jobs", ",".join(arrays)]
    try:
        answer = ask(["squeue", "--noheader", "--array", *filters])
    except SlurmError as error:
        if _JOB_IS_UNKNOWN in str(error):
            return {}
        raise
    rows = [line.split("|", 2) for line in answer.splitlines()]
    return {job: JobState(state, reason) for job, state, reason in rows}


def batch_scripts(name: str) -> dict[str, str]:
    """Return the batch script of every queued or running job with this name, by job id.

    Raises
    ------
    SlurmError
        SLURM does not answer.
    """
    answer = ask(["squeue", "--noheader", "--array", f"--name={name}", "--format=%i|%o"])
    rows = [line.partition("|") for line in answer.splitlines()]
    return {job: script for job, _, script in rows}


def has_ended(job: str) -> bool:
    """Return True only if SLURM knows the job and it has ended, or no longer knows it."""
    try:
        answer = ask(["squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job], QUICK_SECONDS)
    except SlurmError as error:
        return _JOB_IS_UNKNOWN in str(error)
    return not any(state in _STATES_BEFORE_THE_END for state in answer.split())


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
    try:
        size = re.search(r"MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]))
    except SlurmError:
        size = None
    return int(size[1]) if size else DEFAULT_MAX_ARRAY_SIZE


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


def is_submitted_task() -> bool:
    """Return whether submitit started this process as a task of a job.

    A worker of a local pool within somebody's job is no such task.
    """
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def job_id() -> str | None:
    """Return this process's job, `1234` or, in an array, `1234_5`; None outside any job."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    return os.environ.get("SLURM_JOB_ID")


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
