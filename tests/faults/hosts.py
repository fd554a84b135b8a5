"""Two simulated hosts on one machine, with separate host names, processes, networks and clocks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from commands import ROOT, SUPPORT
from irm_sweeps.launchers.process_tree import descendants

PATIENCE = (0.5, 1.5, 4.0)
"""HEARTBEAT_SECONDS, SILENT_SECONDS and STALE_SECONDS on these hosts: nobody waits two minutes for a dead one."""
IMPATIENT = f"""
import sys, time
clock, off = time.time, float(sys.argv.pop(1))
time.time = lambda: clock() + off
from irm_sweeps.store import liveness
liveness.HEARTBEAT_SECONDS, liveness.SILENT_SECONDS, liveness.STALE_SECONDS = {PATIENCE}
from irm_sweeps import cli
cli.main(sys.argv[1:])
"""


def why_not() -> str | None:
    """Return why there can be no second host here, or None."""
    if not shutil.which("unshare"):
        return "no unshare"
    tried = subprocess.run([*_namespaces("probe"), "true"], capture_output=True, text=True)
    return tried.stderr.strip() or "no namespaces" if tried.returncode else None


def _namespaces(name: str) -> list[str]:
    own = ["unshare", "--uts", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    return [*own, "sh", "-c", f'hostname {name} && exec "$@"', "host"]


class Host:
    """One host, on which one `irm-sweeps` command runs.

    Parameters
    ----------
    clock
        Seconds by which its own clock is ahead; the files' times are the store's.
    """

    def __init__(self, name: str, folder: Path, arguments: Sequence[str], gate: Path, clock: float = 0.0) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
            "GATE": str(gate),
        }
        self.errors = folder / f"{name}.err"
        with self.errors.open("w") as errors:
            self._process = subprocess.Popen(
                [*_namespaces(name), sys.executable, "-c", IMPATIENT, str(clock), *arguments],
                cwd=ROOT,
                env=environment,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    def freeze(self) -> None:
        """Let it stand still, as a host that has lost the network or is being moved."""
        for pid in descendants(self._process.pid):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in descendants(self._process.pid):
            os.kill(pid, signal.SIGCONT)

    def die(self) -> None:
        """End it and all that runs on it, at once."""
        self._process.kill()  # --kill-child
        self._process.wait(30)

    def wait(self, seconds: float = 300) -> int:
        return self._process.wait(seconds)

    def end(self) -> None:
        if self._process.poll() is None:
            self.die()
