"""What does a sweep cost besides training, against Hydra's own submitit-local launcher?

    python benchmarks/sweep_overhead.py [--trials 40] [--rival-trials 4]

The same command line (`launch.py -m ... seed=range(0,N)`: trials of a few steps on tiny data) through
`hydra/launcher=local` and through Hydra's `submitit_local` (hydra-submitit-launcher) with Hydra's basic
sweeper, which starts a process per trial, all at once. The rival runs fewer, since a hundred simultaneous torch
processes may not fit in memory; seconds per trial are compared.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from frame import ROOT, Table, arguments, conclude, parser
from thousands import TINY


def seconds_for(trials: int, extra: list[str], expected: int) -> float:
    """Run a sweep of this many trials in a fresh store; return wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "launch.py"), "-m", *TINY, f"seed=range(0,{trials})"]
        command += ["dataset.test_p_e=[0.9]", f"results={folder}/results", *extra, f"hydra.sweep.dir={folder}/hydra"]
        started = time.perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        seconds = time.perf_counter() - started
        done = len(list(Path(folder, "results").glob("*/result.json")))
        if done != expected:
            sys.exit(f"{done} of {expected} results: {answer.stdout[-2000:]}{answer.stderr[-2000:]}")
        return seconds


def main() -> None:
    """Measure both and print the ratio."""
    made = parser(__doc__, rounds=1)
    made.add_argument("--trials", type=int, default=40)
    made.add_argument("--rival-trials", type=int, default=4)
    options = arguments(made)
    ours, theirs = (2, 1) if options.quick else (options.trials, options.rival_trials)
    rival = [
        "hydra/sweeper=basic",
        "hydra/launcher=submitit_local",
        "hydra.sweep.subdir='${hydra.job.num}'",
        "hydra.launcher.timeout_min=30",
    ]
    table = Table("a sweep of trials of 3 steps", rival=f"submitit_local, {theirs} trials", unit="s/trial")
    table.measure(
        {
            f"local, {ours} trials": lambda: seconds_for(ours, [], ours) / ours,
            table.rival: lambda: seconds_for(theirs, rival, theirs) / theirs,
        },
        options.rounds,
    )
    conclude([table], options)


if __name__ == "__main__":
    main()
