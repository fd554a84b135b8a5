"""How much longer than their sleep do trials of one second take, and how much longer with Ray Tune?

    python benchmarks/sleeping_trials.py [--trials 96] [--slots 8]

Ray Tune's own case (its docs: 10,000 trials of a second on 16 CPUs in 715 s, 14 % over the minimum of 625 s; `--trials
10000 --slots 16`). A trial that sleeps needs no core, so there may be as many slots as in that case on any machine.
Ours is a trial of a user's own method whose only step sleeps: it is planned, claimed, drawn, trained, evaluated, and
written with fsync. Ray's is a function that sleeps and reports one number, with the settings of Ray's own test (actors
are reused, the experiment's state is saved every 100 s); Ray writes a trial's files without fsync.

Two questions: the whole command, from its start to its end, start-up of the slots included; and the seconds between
two trials of a slot while all slots are at work, from the times at which results were written (Ray's: reported). On few
cores the slots' start is most of the first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from frame import HERE, ROOT, Table, arguments, conclude, installed, parser

ALONE, RAY = "the sleep alone", "Ray Tune"
MIDDLE = (0.3, 0.9)
"""The part of the results, in the order of their times, in which all slots are at work."""


def between_trials(times: list[float], slots: int) -> float:
    """Return the seconds from a slot's trial to its next, in the middle of the run, from the times of all results."""
    times = sorted(times)
    first, last = (int(part * (len(times) - 1)) for part in MIDDLE)
    return slots * (times[last] - times[first]) / (last - first)


def ours(options: argparse.Namespace) -> tuple[float, float]:
    """Run the sweep in a new store; return the command's seconds, and those between two trials of a slot."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "launch.py"), "-m", "method=one_second.yaml", "backbone.depth=0"]
        command += ["dataset=linear_unit_tests", "dataset.n_train=10", "dataset.n_test=10", "training.steps=1"]
        command += [f"seed=range(0,{options.trials})", f"results={folder}", "device=cpu"]
        command += [f"hydra.launcher.slots={options.slots}", "hydra.launcher.threads_per_worker=1"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE / "sleeping")
        seconds = time.perf_counter() - started
        return seconds, checked([path.stat().st_mtime for path in Path(folder).glob("*/result.json")], options, done)


def rays(options: argparse.Namespace) -> tuple[float, float]:
    """Run the same number of functions in Ray Tune, as `ours`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *sys.argv[1:], "--side", folder]
        env = {**os.environ, "TUNE_GLOBAL_CHECKPOINT_S": "100", "RAY_USAGE_STATS_ENABLED": "0"}
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        seconds = time.perf_counter() - started
        return seconds, checked([reported(path) for path in Path(folder).glob("*/*/result.json")], options, done)


def reported(result: Path) -> float:
    """Return when a trial of Ray's reported its number: Ray writes the files of all trials anew at the end."""
    return float(json.loads(result.read_text().splitlines()[-1])["reported"])


def checked(times: list[float], options: argparse.Namespace, done: subprocess.CompletedProcess[str]) -> float:
    """Return `between_trials` of a command that has written all results; else end with what it said."""
    if len(times) != options.trials:
        sys.exit(f"{len(times)} of {options.trials} results: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return between_trials(times, options.slots)


def with_ray(trials: int, slots: int, seconds: float, folder: str) -> None:
    """Run trials in Ray Tune, in this process; they write into this folder."""
    import ray
    from ray import tune

    def sleep(config: dict[str, float]) -> None:
        time.sleep(seconds)
        tune.report({"score": config["score"], "reported": time.time()})

    ray.init(num_cpus=slots, include_dashboard=False)
    space = {"score": tune.uniform(0.0, 1.0)}
    tune.run(sleep, config=space, num_samples=trials, storage_path=folder, reuse_actors=True, verbose=1)


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--trials", type=int, default=96)
    made.add_argument("--slots", type=int, default=8)
    options = arguments(made)
    if options.quick:
        options.trials, options.slots = 8, 2
    if options.side:
        with_ray(options.trials, options.slots, 1.0, options.side)
        return
    sides = {"irm_sweeps": ours}
    if installed("ray", RAY):
        sides[RAY] = rays
    found = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, run in sides.items():
            found[side].append(run(options))
    what = f"{options.trials} trials of 1 s in {options.slots} slots"
    tables = []
    for i, (question, least) in enumerate(((what, options.trials / options.slots), (f"{what}: one to the next", 1.0))):
        values = {**{side: [pair[i] for pair in pairs] for side, pairs in found.items()}, ALONE: [least]}
        over = {side: 100 * (statistics.median(own) / least - 1) for side, own in values.items() if side != ALONE}
        note = "over the minimum: " + ", ".join(f"{side} {part:.1f} %" for side, part in over.items())
        alone = Table(question, ALONE, "s", note=note, values=values)
        tables += [alone, *([alone.against(RAY)] if RAY in sides else [])]
    conclude(tables, options)


if __name__ == "__main__":
    main()
