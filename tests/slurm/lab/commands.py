"""Commands that the lab runs and waits for, with a log of what they complained of."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.configuration import DB_SOCKET, LOG

CLIENT_LOG = LOG / "clients.log"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "MYSQL_UNIX_PORT": str(DB_SOCKET),
}
"""Of every process that the lab starts."""


class LabError(RuntimeError):
    """The cluster could not be brought to the wanted state; the message is one line with the reason."""


def holds(condition: Callable[[], bool], patience: float, interval: float = 0.1) -> bool:
    """Whether the condition comes true within `patience`."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def output(command: Sequence[str], patience: float = 10.0) -> str | None:
    """Stdout of a client command; None where it failed or hung. Its complaints go to a log."""
    LOG.mkdir(parents=True, exist_ok=True)
    with CLIENT_LOG.open("a") as complaints:
        try:
            done = subprocess.run(
                command,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                timeout=patience,
                check=False,
            )
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return None
    return done.stdout if done.returncode == 0 else None


def succeeds(*command: str) -> bool:
    return output(command) is not None


def run(command: Sequence[str], log: Path, patience: float) -> None:
    """Run one setup command with its output in a log; LabError where it fails."""
    with log.open("a") as sink:
        try:
            subprocess.run(
                command,
                env={**ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=patience,
                check=True,
            )
        except (subprocess.SubprocessError, FileNotFoundError) as error:
            raise LabError(f"{' '.join(command[:3])} failed: {last_line(log)} (log {log})") from error
