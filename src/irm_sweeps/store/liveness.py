"""Who a process is, and whether it still lives: on this host, through SLURM, or by its heartbeat."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

STALE_SECONDS = 120.0
"""A process on another host whose last heartbeat is older than this is taken for dead."""
HEARTBEAT_SECONDS = 10.0
"""How often a living worker renews its claims."""
SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
"""SLURM's word that a job has ended counts after this silence: a node cut off may still be at work."""
_SLURM_ALIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STOPPED", "REQUEUED")


@dataclass(frozen=True)
class Process:
    """A process as others may have to find it.

    Attributes
    ----------
    machine
        Boot id and process-id namespace: a pid means something only within it.
    started
        Start time in clock ticks since boot, which tells a pid from its reuse.
    job
        SLURM job id (`1234` or `1234_5`), if it runs in a job.
    restarts
        How often SLURM had requeued the job when this process began.
    """

    host: str
    machine: str
    pid: int
    started: int
    job: str | None
    restarts: int

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Process:
        """Read back `as_json`; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            host=str(values["host"]),
            machine=str(values["machine"]),
            pid=int(values["pid"]),
            started=int(values["started"]),
            job=None if values["job"] is None else str(values["job"]),
            restarts=int(values["restarts"]),
        )

    def is_alive(self, heartbeat: Path) -> bool:
        """Return whether it lives: on this machine for certain, elsewhere as SLURM and the heartbeat say.

        Parameters
        ----------
        heartbeat
            The file that names it, and that it renews.

        Raises
        ------
        FileNotFoundError
            That file is gone, and nothing else tells.
        """
        if is_here(self):
            return _started(self.pid) == self.started or _is_hidden(self.pid)
        silent = max(age_of(heartbeat), _unchanged_for(heartbeat))
        if silent < SILENT_SECONDS:
            return True
        return silent < STALE_SECONDS and not self._ended_for_slurm()

    def may_be_dead(self, heartbeat: Path) -> bool:
        """Return whether a process on another machine has missed a heartbeat or is a job's earlier run.

        A heartbeat from the future, left before the clock was set back, says nothing either way: it may be dead.
        """
        if is_here(self):
            return False
        return not 0 <= age_of(heartbeat) <= 2 * HEARTBEAT_SECONDS or self._is_forerunner()

    def _ended_for_slurm(self) -> bool:
        return self.job is not None and (self._is_forerunner() or slurm_says_dead(self.job))

    def _is_forerunner(self) -> bool:
        """Return whether it ran in this very job before SLURM requeued it."""
        me = this_process()
        return self.job is not None and self.job == me.job and self.restarts < me.restarts


def is_here(process: Process) -> bool:
    """Return whether the process belongs to this machine, since its last boot."""
    return process.machine == _machine()


def this_process() -> Process:
    """Return this process."""
    environment = os.environ
    job = environment.get("SLURM_JOB_ID")
    if array := environment.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{environment.get('SLURM_ARRAY_TASK_ID')}"
    return Process(
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        job=job,
        restarts=int(environment.get("SLURM_RESTART_COUNT", "0")),
    )


@lru_cache(maxsize=1)
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/no-proc"


def _started(pid: int) -> int | None:
    """Return the start time of a living process; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _is_hidden(pid: int) -> bool:
    """Return whether another user's process has this pid and /proc keeps that from us (`hidepid`)."""
    if Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def slurm_says_dead(job: str) -> bool:
    """Return True only if SLURM knows the job and it has ended, or no longer knows it."""
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if answer.returncode != 0:
        return "Invalid job id" in answer.stderr
    states = answer.stdout.split()
    return not any(state in _SLURM_ALIVE for state in states)


_seen: dict[Path, tuple[int, float]] = {}


def _unchanged_for(path: Path) -> float:
    """Return for how many seconds of this process's own time it has seen `path` as it is, 0 at first sight.

    No clock that anybody can set has a part in it.
    """
    touched, now = path.stat().st_mtime_ns, time.monotonic()
    before = _seen.get(path)
    if before is None or before[0] != touched:
        _seen[path] = (touched, now)
        return 0.0
    return now - before[1]


def age_of(path: Path) -> float:
    """Return seconds since `path` was last touched, by the clock of the file system that holds it.

    Hosts' clocks may jump or disagree; comparing two files' times on one server does not depend on them. Negative if
    that server's clock was set back since.
    Where this user may not write, this host's clock has to do.
    """
    touched = path.stat().st_mtime
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".now.") as now:
            return os.stat(now.name).st_mtime - touched
    except OSError:
        return time.time() - touched
