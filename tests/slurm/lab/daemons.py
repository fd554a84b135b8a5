"""The daemons of the lab: started, waited for and ended, each by the pid that the lab has recorded."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.commands import CLIENT_LOG, ENVIRONMENT, LabError, holds, last_line
from lab.configuration import DB_SOCKET, LIB, LOG, MUNGE, MUNGE_SOCKET, NODES, RUN


@dataclass(frozen=True)
class Daemon:
    """One foreground daemon that the lab starts and ends."""

    name: str
    command: tuple[str, ...]

    @property
    def record(self) -> Path:
        """File that holds the pid and start time of the process which the lab started."""
        return RUN / "pids" / self.name

    @property
    def output(self) -> Path:
        """File that receives stdout and stderr."""
        return LOG / f"{self.name}.out"

    @property
    def pid(self) -> int | None:
        """Pid of the daemon if the very process that the lab started is alive."""
        try:
            pid, started = self.record.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def spawn(self) -> None:
        """Start the daemon in a session of its own and record its pid; a live one is left alone."""
        if self.pid is not None:
            return
        program = shutil.which(self.command[0], path=ENVIRONMENT["PATH"])
        if program is None:
            raise LabError(f"{self.command[0]} is not installed")
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        redirects = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.output), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        pid = os.posix_spawn(program, self.command, ENVIRONMENT, file_actions=redirects, setsid=True)
        self.record.write_text(f"{pid} {_start_time(pid)}\n")

    def await_ready(self, ready: Callable[[], bool], patience: float = 60.0) -> None:
        """Wait until the daemon is ready; fail at once when its process ends."""
        if holds(lambda: self.pid is None or ready(), patience) and self.pid is not None:
            return
        verdict = f"not ready after {patience:.0f} s" if self.pid is not None else "ended at once"
        logs = f"{self.output}, {CLIENT_LOG}"
        raise LabError(f"{self.name} {verdict}: {last_line(self.output)} (logs {logs})")

    def end(self, sig: signal.Signals = signal.SIGTERM, patience: float = 20.0) -> None:
        """Signal the daemon and wait for its end; SIGKILL after `patience`."""
        pid = self.pid
        if pid is not None:
            for attempt in (sig, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, attempt)
                if holds(lambda: self.pid is None, patience):
                    break
            else:
                raise LabError(f"{self.name} (pid {pid}) does not end, log {self.output}")
        self.record.unlink(missing_ok=True)


MUNGED = Daemon(
    "munged",
    (
        *("setpriv", "--reuid=munge", "--regid=munge", "--init-groups"),
        *("munged", "--foreground", f"--socket={MUNGE_SOCKET}", f"--key-file={LIB}/munge.key"),
        *(f"--pid-file={MUNGE}/pid", f"--seed-file={MUNGE}/seed"),
    ),
)
MARIADBD = Daemon(
    "mariadbd",
    (
        *("mariadbd", "--no-defaults", "--user=mysql", f"--datadir={LIB}/mysql", f"--socket={DB_SOCKET}"),
        *(f"--pid-file={DB_SOCKET.parent}/pid", "--skip-networking", "--skip-log-bin"),
        *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
    ),
)
SLURMDBD = Daemon("slurmdbd", ("slurmdbd", "-D"))
SLURMCTLD = Daemon("slurmctld", ("slurmctld", "-D"))
SLURMDS = {node: Daemon(f"slurmd.{node}", ("slurmd", "-D", "-N", node)) for node in NODES}
DAEMONS = (MUNGED, MARIADBD, SLURMDBD, SLURMCTLD, *SLURMDS.values())


def stop_daemons() -> None:
    """End all of them, and whatever jobs they were running."""
    for daemon in reversed(DAEMONS):
        daemon.end()
    for node in NODES:
        kill_steps(node)


def kill_steps(node: str) -> None:
    """SIGKILL all that the node's jobs run."""
    for pid in _step_processes(node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _step_processes(node: str) -> list[int]:
    """Pids of the node's job step daemons and of all that runs under them."""
    log = str(LOG / f"slurmd.{node}.log")
    children: dict[int, list[int]] = {}
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        fields = _stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == "slurmstepd" and any(
                os.readlink(link) == log for link in (entry / "fd").iterdir()
            ):
                found.append(pid)
    for pid in found:
        found.extend(child for child in children.get(pid, ()) if child not in found)
    return found


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the process state on; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _start_time(pid: int) -> str | None:
    """Kernel start time of a live process, None where it is gone or a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    fields = _stat_fields(pid)
    return None if not fields or fields[0] in "ZX" else fields[19]
