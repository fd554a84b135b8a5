"""A bench for each test: a results directory, a gate that holds the trainings back, and SLURM's own commands."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from commands import once

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMAND = Path(sys.executable).with_name("irm-sweeps")
T = TypeVar("T")

SMALL = [
    "method=irmv1",
    "lam=100",
    "dataset.source=embedded",
    "dataset.n_train=60",
    "dataset.test_p_e=[0.1,0.9]",
    "backbone.width=8",
    "device=cpu",
]
GATED = [
    *SMALL,
    "method._target_=gated.Gated",
    "training.steps=1200",
    "training.evaluate_every=100",
    "checkpoint_seconds=1",
]
"""Two minutes of training while the gate is closed, seconds once it is open."""

SLURM = [
    "hydra/launcher=slurm",
    "hydra.launcher.workers=1",
    "hydra.launcher.gpus_per_node=0",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.timeout_min=10",
]


def eventually(look: Callable[[], T], what: str, patience: float = 60.0) -> T:
    """Return the first true value of `look`; the test fails where none comes in `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.2)
    return found


class Bench:
    """One test's results directory, and what a user does with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "the results"
        self.gate = folder / "gate"
        self.trace = folder / "trace"
        self.trace.mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        """Return the environment of commands, and through `sbatch` of jobs."""
        own = {
            "GATE": str(self.gate),
            "TRACE": str(self.trace),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "src")]),
            "OMP_NUM_THREADS": "1",
        }
        return {**os.environ, **own}

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder that is not the project's."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env={**self.environment(), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def launch(self, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Issue a sweep."""
        return self.run(
            sys.executable, ROOT / "launch.py", "-m", *once(overrides), f"results='{self.results}'", **environment
        )

    def nodes_as_machines(self) -> str:
        """Return the override that makes workers take each node for a machine of its own."""
        folder = self.folder / "bin"
        folder.mkdir()
        disguise = folder / "disguise"
        disguise.write_text(
            "#!/bin/bash\n"
            'echo "$SLURMD_NODENAME" > "/tmp/$$.boot_id"\n'
            'mount --bind "/tmp/$$.boot_id" /proc/sys/kernel/random/boot_id\n'
            'rm "/tmp/$$.boot_id"\n'
            'exec "$@"\n'
        )
        srun = folder / "srun"
        srun.write_text(
            "#!/bin/bash\n"
            'options=()\nwhile [[ $1 != */python* ]]; do options+=("$1"); shift; done\n'
            f'exec {shutil.which("srun")} "${{options[@]}}" unshare --mount {disguise} "$@"\n'
        )
        disguise.chmod(0o755)
        srun.chmod(0o755)
        return f"hydra.launcher.setup=['export PATH={folder}:$PATH']"

    def silences(self) -> list[float]:
        """Return the seconds since each claim's last heartbeat."""
        return [time.time() - path.stat().st_mtime for path in self.results.glob("*/claim.*.json")]

    def submit(self, *overrides: str) -> list[str]:
        """Issue a sweep that must reach SLURM, and return its job ids."""
        before = self.job_ids()
        done = self.launch(*SLURM, *overrides)
        assert done.returncode == 0, done.stderr
        assert "submitted" in done.stdout
        return [job for job in self.job_ids() if job not in before]

    def job_ids(self) -> list[str]:
        """Return what the sweeps' records say."""
        return [job for path in self.results.glob("sweeps/*/jobs.json") for job in json.loads(path.read_text())["jobs"]]

    def command(self, *arguments: str) -> str:
        """Run `irm-sweeps` and return its output."""
        done = self.run(COMMAND, *arguments, "--results", str(self.results))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return `irm-sweeps status --json`."""
        found: dict[str, Any] = json.loads(self.command("status", "--json"))
        return found

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """Return what must not depend on disturbances, by trial id."""
        found = {}
        for path in self.results.glob("*/result.json"):
            result = json.loads(path.read_text())
            found[result["trial_id"]] = {
                "status": result["status"],
                "steps": result["steps"],
                "metrics": result["metrics"],
                "parameters": result["provenance"].get("parameters_sha256"),
                "history": (path.parent / "history.jsonl").read_text(),
            }
        return found

    def await_results(self, n: int, patience: float = 60.0) -> dict[str, dict[str, Any]]:
        """Wait for the n-th result and return all outcomes."""
        eventually(lambda: len(list(self.results.glob("*/result.json"))) >= n, f"{n} results", patience)
        return self.outcomes()

    def await_checkpoints(self, n: int = 1) -> list[Path]:
        """Wait until n trials have a checkpoint."""
        return eventually(
            lambda: len(found := list(self.results.glob("*/checkpoint.safetensors"))) >= n and found,
            f"{n} checkpoints",
        )

    def logs(self) -> str:
        """Return all trials' logs."""
        return "".join(path.read_text() for path in self.results.glob("*/log.txt"))

    def traces(self) -> list[tuple[float, float]]:
        """Return first and last moment of training of each process, in order; for tests of one trial."""
        spans = []
        for path in self.trace.iterdir():
            times = [float(line.split()[0]) for line in path.read_text().splitlines()]
            spans.append((times[0], times[-1]))
        return sorted(spans)

    def never_two_at_once(self) -> bool:
        """Return whether no process began the one trial before another had left it."""
        spans = self.traces()
        return all(before[1] < after[0] for before, after in itertools.pairwise(spans))


def slurm(*command: str) -> str:
    """Run one of SLURM's own commands."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def accounted(jobs: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return state and exit code of each job by its id, as `sacct` has them now."""
    command = ["sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", ",".join(jobs)]
    rows = [line.split("|") for line in slurm(*command).splitlines()]
    return {job: (state, code) for job, state, code in rows}


def await_states(jobs: Sequence[str], patience: float = 60.0) -> dict[str, tuple[str, str]]:
    """Wait until `sacct` says how each job ended."""

    def ended() -> dict[str, tuple[str, str]] | None:
        found = accounted(jobs)
        known = {job: found[job] for job in jobs if job in found}
        alive = ("PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED")
        return known if len(known) == len(jobs) and not any(s.startswith(alive) for s, _ in known.values()) else None

    return eventually(ended, f"sacct tells the end of {', '.join(jobs)}", patience) or {}
