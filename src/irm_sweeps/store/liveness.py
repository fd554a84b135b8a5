"""Identify a process, and tell whether it is alive: by its pid on this machine, elsewhere by SLURM and heartbeat."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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
        Boot id and process-id namespace: a pid means something only within it. A process that cannot tell them has a
        machine of its own: all others judge it by its heartbeat.
    started
        Start time in clock ticks since boot, which tells a pid from its reuse; 0 if unknown.
    job
        SLURM job id (`1234` or `1234_5`), if it runs in a job.
    restarts
        How often SLURM had requeued the job when this process began.
    cluster
        The SLURM cluster of the job; None if unknown, as in files of earlier versions.
    """

    host: str
    machine: str
    pid: int
    started: int
    job: str | None
    restarts: int
    cluster: str | None = None

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
            cluster=None if values.get("cluster") is None else str(values["cluster"]),
        )

    def is_alive(self, heartbeat: Path) -> bool:
        """Return False only if the process is known to be dead: by its pid, by SLURM, or by an old heartbeat.

        Its pid is looked up where that is possible: on its own machine, among processes that /proc shows.

        Parameters
        ----------
        heartbeat
            The file that names the process, and whose modification time it renews.

        Raises
        ------
        FileNotFoundError
            The pid cannot be looked up, and that file is gone.
        """
        seen = self.is_seen_alive()
        if seen is not None:
            return seen
        silent = max(age_of(heartbeat), _unchanged_for(heartbeat))
        if silent < SILENT_SECONDS:
            return True
        return silent < STALE_SECONDS and not self._job_has_ended()

    def may_be_dead(self, heartbeat: Path) -> bool:
        """Return whether a process that cannot be looked up has missed a heartbeat or is a job's earlier run.

        A heartbeat in the future was written before the clock was set back: the process may be dead.
        """
        if self.is_seen_alive() is not None:
            return False
        return not 0 <= age_of(heartbeat) <= 2 * HEARTBEAT_SECONDS or self._is_earlier_run_of_this_job()

    def is_seen_alive(self) -> bool | None:
        """Return whether the process is alive by its pid; None where that cannot be known here."""
        return _is_running(self.pid, self.started) if is_here(self) else None

    def _job_has_ended(self) -> bool:
        return self.job is not None and (
            self._is_earlier_run_of_this_job() or slurm_says_dead(self.job, cluster=self.cluster)
        )

    def _is_earlier_run_of_this_job(self) -> bool:
        """Return whether the process ran in this process's job before SLURM requeued it."""
        me = this_process()
        same_job = self.job is not None and self.job == me.job and self.cluster in (None, me.cluster)
        return same_job and self.restarts < me.restarts


def slurm_says_dead(job: str, cluster: str | None = None) -> bool:
    """Return True only if SLURM says that the job has ended; what it does not list, or not clearly, may be alive."""
    return slurm.has_ended(job, cluster)


def is_here(process: Process) -> bool:
    """Return whether the process belongs to this machine, since its last boot."""
    return process.machine == _identity(os.getpid())[0]


def this_process() -> Process:
    """Return this process."""
    machine, started = _identity(os.getpid())
    return Process(
        host=socket.gethostname(),
        machine=machine,
        pid=os.getpid(),
        started=started,
        job=slurm.job_id(),
        restarts=slurm.restart_count(),
        cluster=slurm.job_cluster(),
    )


@lru_cache(maxsize=1)
def _identity(pid: int) -> tuple[str, int]:
    """Return machine and start time of this process, whose pid is the argument: a fork has another.

    Without a /proc of this process's own pid namespace the machine is a random name.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
        started = _start_time(pid) if boot.strip("0-") and _proc_shows_own_namespace(pid) else None
    except (OSError, ValueError):
        started = None
    if started is None:
        return f"unknown/{secrets.token_hex(8)}", 0
    return f"{boot}/{namespace}", started


def _proc_shows_own_namespace(pid: int) -> bool:
    """Return whether /proc has the pids that this process sees; a container may have the /proc of an outer namespace.

    Raises
    ------
    OSError
        /proc does not know this process.
    """
    if os.readlink("/proc/self") != str(pid):
        return False
    # From the namespace of /proc inwards: two pids mean that this process lives in a namespace within that one.
    status = Path("/proc/self/status").read_text(errors="replace")
    pids = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
    return not pids or len(pids[0]) == 1


def _start_time(pid: int) -> int | None:
    """Return the start time, in clock ticks since boot, of a process; None if it is a zombie.

    Raises
    ------
    OSError
        /proc shows no such process.
    ValueError
        /proc shows it in another form than Linux does.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    if len(fields) < 20:
        raise ValueError(f"/proc/{pid}/stat has {len(fields)} fields after the name")
    return None if fields[0] in "ZX" else int(fields[19])


def _is_running(pid: int, started: int) -> bool | None:
    """Return whether the process of this machine with this pid and start time lives; None where nobody can know.

    /proc may hide other users' processes (`hidepid`), and cannot be read by a process that has no file descriptor left.
    """
    if pid == os.getpid():
        return started == _identity(pid)[1]
    try:
        return _start_time(pid) == started
    except (FileNotFoundError, ProcessLookupError):
        return None if _exists(pid) else False
    except (OSError, ValueError):
        return None


def _exists(pid: int) -> bool:
    """Return False only if the kernel says that there is no such process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


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


_ONLY_READING: ContextVar[bool] = ContextVar("only_reading", default=False)


@contextmanager
def only_reading() -> Iterator[None]:
    """Let `age_of` use this host's clock in the block, so that nothing is written into the store."""
    token = _ONLY_READING.set(True)
    try:
        yield
    finally:
        _ONLY_READING.reset(token)


def age_of(path: Path) -> float:
    """Return seconds since `path` was last modified, by the clock of the file system that holds it.

    Hosts' clocks may jump or disagree; comparing two files' times on one server does not depend on them. Negative if
    that server's clock was set back since. Where this user may not write, and in `only_reading`, this host's clock is
    used.
    """
    modified = path.stat().st_mtime
    if _ONLY_READING.get():
        return time.time() - modified
    now = path.with_name(f".now.{secrets.token_hex(6)}")
    try:
        with now.open("xb"):
            return now.stat().st_mtime - modified
    except OSError:
        return time.time() - modified
    finally:
        discard(now)
