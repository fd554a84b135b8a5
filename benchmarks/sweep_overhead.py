"""What does a sweep cost besides training, against Hydra's own submitit-local launcher?

    python benchmarks/sweep_overhead.py [--trials 100] [--rival-trials 16]

The same command line (`launch.py -m ... seed=range(0,N)`: trials of a few steps on tiny data) through
`hydra/launcher=local` and through Hydra's `submitit_local` (hydra-submitit-launcher) with Hydra's basic
sweeper, which starts a process per trial, all at once. With --rival-trials below --trials the rival runs fewer, since
100 simultaneous torch processes may not fit in memory; seconds per trial are compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "method=irmv1",
    "dataset.source=embedded",
    "dataset.n_train=50",
    "backbone.width=8",
    "training.steps=3",
    "dataset.test_p_e=[0.9]",
]


def seconds_for(trials: int, extra: list[str], expected: int) -> float:
    """Run a sweep of this many trials in a fresh store; return wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "launch.py"), "-m", *TINY, f"seed=range(0,{trials})"]
        command += [f"results={folder}/results", *extra, f"hydra.sweep.dir={folder}/hydra"]
        started = time.perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        seconds = time.perf_counter() - started
        done = len(list(Path(folder, "results").glob("*/result.json")))
        if done != expected:
            sys.exit(f"{done} of {expected} results: {answer.stdout[-2000:]}{answer.stderr[-2000:]}")
        return seconds


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rival-trials", type=int, default=16)
    options = parser.parse_args()
    rival = [
        "hydra/sweeper=basic",
        "hydra/launcher=submitit_local",
        "hydra.sweep.subdir='${hydra.job.num}'",
        "hydra.launcher.timeout_min=30",
    ]
    local = seconds_for(options.trials, [], options.trials)
    theirs = seconds_for(options.rival_trials, rival, options.rival_trials)
    ours_each, theirs_each = local / options.trials, theirs / options.rival_trials
    print(f"trials of 3 steps on tiny data; {os.cpu_count()} cores; one run each")
    print(f"  local            {options.trials:4d} trials  {local:7.1f} s  {ours_each:6.3f} s/trial")
    print(f"  submitit_local   {options.rival_trials:4d} trials  {theirs:7.1f} s  {theirs_each:6.3f} s/trial")
    print(f"ratio per trial, submitit_local / local: {theirs_each / ours_each:.1f}")


if __name__ == "__main__":
    main()
