"""What does a sweep cost besides training, against Hydra's own submitit-local and joblib launchers?

    python benchmarks/sweep_overhead.py [--trials 40] [--rival-trials 4]

The same command line (`launch.py -m ... seed=range(0,N)`: trials of a few steps on tiny data) through
`hydra/launcher=local` and through Hydra's launchers with Hydra's basic sweeper, where those are installed:

* `submitit_local` (hydra-submitit-launcher) starts a process per trial, all at once. It runs fewer trials, since a
  hundred simultaneous torch processes may not fit in memory; seconds per trial are compared;
* `joblib` (hydra-joblib-launcher) has as many processes as there are cores, which are used again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from frame import ROOT, Table, arguments, conclude, installed, parser
from thousands import TINY

BASIC = ["hydra/sweeper=basic", "hydra.sweep.subdir='${hydra.job.num}'"]
LAUNCHERS = {
    "submitit_local": [*BASIC, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=30"],
    "joblib": [*BASIC, "hydra/launcher=joblib"],
}


PLUGINS = {
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "joblib": "hydra_plugins.hydra_joblib_launcher",
}


def seconds_a_trial(trials: int, extra: list[str]) -> float:
    """Run a sweep of this many trials in a fresh store; return its wall seconds, divided by the trials."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "launch.py"), "-m", *TINY, f"seed=range(0,{trials})"]
        command += ["dataset.test_p_e=[0.9]", f"results={folder}/results", *extra, f"hydra.sweep.dir={folder}/hydra"]
        started = time.perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        seconds = time.perf_counter() - started
        done = len(list(Path(folder, "results").glob("*/result.json")))
        if done != trials:
            sys.exit(f"{done} of {trials} results: {answer.stdout[-2000:]}{answer.stderr[-2000:]}")
        return seconds / trials


def main() -> None:
    """Measure all and print the ratios."""
    made = parser(__doc__, rounds=1)
    made.add_argument("--trials", type=int, default=40)
    made.add_argument("--rival-trials", type=int, default=4, help="of submitit_local (default: 4)")
    options = arguments(made)
    numbers = {"local": options.trials, "submitit_local": options.rival_trials, "joblib": options.trials}
    if options.quick:
        numbers = {"local": 2, "submitit_local": 1, "joblib": 2}
    names = {launcher: f"{launcher}, {n} trials" for launcher, n in numbers.items()}
    rivals = [name for name, plugin in PLUGINS.items() if installed(plugin, name)]
    table = Table("a sweep of trials of 3 steps", rival=names["local"], unit="s/trial")
    table.measure(
        {
            names[launcher]: lambda launcher=launcher: seconds_a_trial(numbers[launcher], LAUNCHERS.get(launcher, []))
            for launcher in ("local", *rivals)
        },
        options.rounds,
    )
    conclude([table.against(names[rival]) for rival in rivals] or [table], options)


if __name__ == "__main__":
    main()
