"""What does everything but training cost?

    python benchmarks/engine.py [--trials 10000]

Six questions, each against a rival measured in the same run:

* empty trials (no steps): one command, against one process per trial;
* planning: composing thousands of trials, against Hydra's composing of each job, as its own sweeper does;
* results: status, a table and a frame of thousands, against a loop that only parses each file;
* the manual (`launch.py --help`), against `import torch` alone (the goal is 1.5 s);
* a worker's first trial, from process start to its result, against `import torch` alone;
* a checkpoint, against `torch.save` of the same tensors; and what share of a trial it is (the goal is 1 %).
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from frame import ROOT, Table, arguments, conclude, parser, seconds
from thousands import TINY, fill, real_result

LAUNCH = [sys.executable, str(ROOT / "launch.py")]
TORCH = [sys.executable, "-c", "import torch"]
EMPTY = [word if not word.startswith("training.steps") else "training.steps=0" for word in TINY]


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    with redirect_stdout(io.StringIO()):
        work()
    return clock() - started


def empty_trials(options: Any) -> Table:
    def sweep(n: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            own = ["hydra/launcher=inprocess", f"seed=range(0,{n})", f"results={folder}"]
            return seconds([*LAUNCH, "-m", *EMPTY, *own]) / n

    def alone() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds([*LAUNCH, *EMPTY, f"results={folder}"])

    n = 5 if options.quick else 100
    table = Table("empty trials", rival="a process each", unit="s/trial")
    table.measure({f"one command, {n} trials": lambda: sweep(n), "a process each": alone}, options.rounds)
    return table


def planning(options: Any) -> Table:
    from irm_sweeps.compose import compose
    from irm_sweeps.store.store import Store
    from irm_sweeps.sweep.collect import collect
    from irm_sweeps.sweep.plan import make_plan

    def ours(n: int, folder: str) -> None:
        trials, settings, _ = collect(["method=irmv1", "lam=1,10,100,1000", f"seed=range(0,{n // 4})"])
        make_plan(Store(Path(folder)), trials, settings)

    def theirs(n: int) -> None:
        for i in range(n):
            compose(["method=irmv1", f"seed={i}"])

    jobs = 2 if options.quick else 10
    table = Table(f"planning {options.trials} trials", rival="Hydra's compose of each", unit="s/trial")
    with tempfile.TemporaryDirectory() as folder:
        table.measure(
            {
                "launch.py -m": lambda: timed(lambda: ours(options.trials, folder)) / options.trials,
                table.rival: lambda: timed(lambda: theirs(jobs)) / jobs,
            },
            options.rounds,
        )
    return table


def results(options: Any) -> Table:
    from irm_sweeps import load_results
    from irm_sweeps.analysis import table_command
    from irm_sweeps.commands.sweep_status import sweep_status
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.store.store import Store
    from irm_sweeps.sweep.collect import collect
    from irm_sweeps.sweep.plan import make_plan
    from irm_sweeps.sweep.prepare import prepare

    seeds = f"seed=range(0,{options.trials // 4})"
    table = Table(f"{options.trials} results", rival="json.loads of each", unit="CPU s")
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        root = Path(folder, "results")
        like = real_result(Path(folder, "one"))
        trials, settings, label = collect(["paper=demo", seeds, f"results={root}"])
        store = Store(root)
        manifest = prepare(store, make_plan(store, trials, settings), settings, InProcess(), label)
        fill(root, trials, like)
        command = ["--paper", "demo", "--results", str(root), seeds]
        sides = {
            "status": lambda: sweep_status(store, manifest).text(),
            "table": lambda: table_command.main(command),
            "frame": lambda: load_results(root),
            table.rival: lambda: [json.loads(path.read_bytes()) for path in root.glob("*/result.json")],
        }
        measured = {name: lambda work=work: timed(work, time.process_time) for name, work in sides.items()}
        table.measure(measured, options.rounds)
    return table


def start_up(options: Any) -> Table:
    def first_trial() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds([*LAUNCH, *TINY, f"results={folder}"])

    table = Table("start-up", rival="import torch", unit="s")
    sides = {
        "launch.py --help": lambda: seconds([*LAUNCH, "--help"]),
        "a process's first trial": first_trial,
        "import torch": lambda: seconds(TORCH),
    }
    table.measure(sides, options.rounds)
    return table


def checkpoint(options: Any) -> Table:
    import torch

    from irm_sweeps.files.atomic import write_atomically
    from irm_sweeps.sweep.grid import trials
    from irm_sweeps.training.checkpoint import pack
    from irm_sweeps.training.loop import StackTraining

    overrides = ["method=irmv1", "dataset.source=embedded", "dataset.n_train=500", "backbone.width=390"]
    (trial,) = trials(overrides).values()
    training = StackTraining([trial], Path("data"), torch.device("cpu"))
    for _ in range(3):
        training._advance()

    with tempfile.TemporaryDirectory() as folder:

        def ours() -> None:
            write_atomically(Path(folder, "a"), pack(trial.id, *training.state(0)))

        def theirs() -> None:
            with open(Path(folder, "b"), "wb") as file:
                torch.save(training.state(0)[0], file)
                file.flush()
                os.fsync(file.fileno())

        table = Table("a checkpoint (width 390)", rival="torch.save", unit="s")
        table.measure({"ours": lambda: timed(ours), "torch.save": lambda: timed(theirs)}, 3 * options.rounds)
    from irm_sweeps.compose import compose

    every = float(compose([])["checkpoint_seconds"])
    share = statistics.median(table.values["ours"]) / every
    table.note = f"checkpoint_seconds={every:g}: checkpoints take {100 * share:.3f} % of a trial"
    return table


def main() -> None:
    made = parser(__doc__, rounds=2)
    made.add_argument("--trials", type=int, default=10_000, help="planned, and in the store (default: 10000)")
    options = arguments(made)
    if options.quick:
        options.trials = 40
    questions = (empty_trials, planning, results, start_up, checkpoint)
    conclude([question(options) for question in questions], options)


if __name__ == "__main__":
    main()
