"""Identify a process, and tell whether it is alive: by its pid on this machine, elsewhere by SLURM and heartbeat."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from irm_sweeps import slurm
from irm_sweeps.files.atomic import discard

STALE_SECONDS = 120.0
"""A process on another host whose last heartbeat is older than this counts as dead."""
HEARTBEAT_SECONDS = 10.0
"""How often a living worker renews its claims."""
SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
"""SLURM's answer that a job has ended counts after this silence: a node cut off may still be at work."""


@dataclass(frozen=True)
class Process:
    """What identifies a process on any machine.

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
        """Return whether the process is alive: known on this machine, elsewhere judged by SLURM and the heartbeat.

        Parameters
        ----------
        heartbeat
            The file that names the process, and whose modification time it renews.

        Raises
        ------
        FileNotFoundError
            The process is on another machine, and that file is gone.
        """
        if is_here(self):
            return _start_time(self.pid) == self.started or _is_hidden(self.pid)
        silent = max(age_of(heartbeat), _unchanged_for(heartbeat))
        if silent < SILENT_SECONDS:
            return True
        return silent < STALE_SECONDS and not self._job_has_ended()

    def may_be_dead(self, heartbeat: Path) -> bool:
        """Return whether a process on another machine has missed a heartbeat or is a job's earlier run.

        A heartbeat in the future was written before the clock was set back: the process may be dead.
        """
        if is_here(self):
            return False
        return not 0 <= age_of(heartbeat) <= 2 * HEARTBEAT_SECONDS or self._is_earlier_run_of_this_job()

    def _job_has_ended(self) -> bool:
        return self.job is not None and (self._is_earlier_run_of_this_job() or slurm.has_ended(self.job))

    def _is_earlier_run_of_this_job(self) -> bool:
        """Return whether the process ran in this process's job before SLURM requeued it."""
        me = this_process()
        return self.job is not None and self.job == me.job and self.restarts < me.restarts


def is_here(process: Process) -> bool:
    """Return whether the process belongs to this machine, since its last boot."""
    return process.machine == _machine()


def this_process() -> Process:
    """Return this process."""
    return Process(
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_start_time(os.getpid()) or 0,
        job=slurm.job_id(),
        restarts=slurm.restart_count(),
    )


@lru_cache(maxsize=1)
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/no-proc"


def _start_time(pid: int) -> int | None:
    """Return the start time, in clock ticks since boot, of a living process; None if it is gone or a zombie."""
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
    except (OSError, OverflowError):  # no number of a process
        return False
    return False


_last_seen: dict[Path, tuple[int, float]] = {}
"""By file: its last known modification time in ns, and when this process first saw it, by the monotonic clock."""


def _unchanged_for(path: Path) -> float:
    """Return for how many seconds this process has seen `path` unchanged, 0 when it sees it first.

    Only the monotonic clock is used: setting a clock does not change the answer.
    """
    modified, now = path.stat().st_mtime_ns, time.monotonic()
    known, since = _last_seen.get(path, (None, now))
    if known != modified:
        _last_seen[path] = (modified, now)
        return 0.0
    return now - since


def age_of(path: Path) -> float:
    """Return seconds since `path` was last modified, by the clock of the file system that holds it.

    Hosts' clocks may jump or disagree; comparing two files' times on one server does not depend on them. Negative if
    that server's clock was set back since. Where this user may not write, this host's clock is used.
    """
    modified = path.stat().st_mtime
    now = path.with_name(f".now.{secrets.token_hex(6)}")
    try:
        with now.open("xb"):
            return now.stat().st_mtime - modified
    except OSError:
        return time.time() - modified
    finally:
        discard(now)
