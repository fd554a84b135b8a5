"""What does `training.precision=bf16` cost in accuracy, and what does it gain in time?

    python benchmarks/precision.py [--methods erm,irmv1,...] [--rounds 3] [--steps 120] [--width 128]
                                   [--full [--data-dir DIR]] [OVERRIDE ...]

Trains each method on Colored MNIST with float32 and with bf16, in turns, each round from a seed of its own, and prints
the paired differences of test accuracy (bf16 - float32, in points; mean and standard deviation over seeds) beside the
standard deviation over seeds of float32 itself: a difference well below it is none that a table could show. Seconds are
of training and its last evaluation. By default 2 x 2,000 embedded digits; `--full`: MNIST, 2 x 25,000 images, width
390, 500 steps (IRMv1: minutes a seed on one core). Further overrides apply to every trial. On the GPU if there is one.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frame import Table, arguments, conclude, parser

METHODS = ("erm", "irmv1", "vrex", "invrat_ec", "meta_irm")

SETTINGS = {
    "erm": ["training.l2=0.001"],
    "irmv1": ["lam=1000", "training.l2=0.001"],
    "vrex": ["lam=1000", "training.l2=0.001"],
    "invrat_ec": ["lam=1", "training.l2=0.001"],
    "meta_irm": ["lam=1", "training.l2=0.001"],
}
"""What each method trains with; others take the defaults."""

PRECISIONS = ("float32", "bf16")


def overrides(method: str, options: argparse.Namespace) -> list[str]:
    """Return what all trials of a method have in common."""
    own = ["dataset.test_p_e=[0.1,0.9]", f"training.steps={options.steps}", f"backbone.width={options.width}"]
    if not options.full:
        own.append("dataset.source=embedded")
    if method in ("irmv1", "vrex", "invrat_ec"):
        own.append(f"method.anneal={options.steps // 2}")
    return [f"method={method}", *SETTINGS.get(method, []), *own, *options.overrides]


def train(found: Any, data_dir: Path) -> tuple[dict[str, float], float]:
    """Return test accuracies in points by environment, and seconds."""
    from irm_sweeps.device import choose_device
    from irm_sweeps.training.loop import StackTraining

    (outcome,) = StackTraining([found], data_dir, choose_device("auto")).run()
    if outcome.diverged_at is not None:
        raise SystemExit(f"{found.method.target} with {found.training.precision} diverged: choose another lam")
    scores = outcome.metrics["last"]["scores"]["test"]
    return {name: 100 * own["accuracy"] for name, own in scores.items()}, outcome.seconds


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; nan of one value."""
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def pairs(method: str, options: argparse.Namespace) -> tuple[str, Table]:
    """Train one method's pairs; return its row of the accuracies, and the seconds."""
    from irm_sweeps.sweep.grid import trials

    accuracy: dict[str, list[dict[str, float]]] = {p: [] for p in PRECISIONS}
    table = Table(f"{method}, width {options.width}", rival="float32", unit="s/trial")
    for seed in range(options.rounds):
        for precision in PRECISIONS:
            own = [*overrides(method, options), f"seed={seed}", f"training.precision={precision}"]
            (found,) = trials(own).values()
            scores, taken = train(found, options.data_dir)
            accuracy[precision].append(scores)
            table.values.setdefault(precision, []).append(taken)
    cells = []
    for environment in accuracy["float32"][0]:
        alone, rounded = ([scores[environment] for scores in accuracy[p]] for p in PRECISIONS)
        paired = [b - a for a, b in zip(alone, rounded, strict=True)]
        cells.append(f"{statistics.fmean(alone):.1f} ± {spread(alone):.1f}")
        cells.append(f"{statistics.fmean(paired):+.2f} ± {spread(paired):.2f}")
    return f"| {method} | {' | '.join(cells)} | {options.rounds} |", table


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--methods", default=",".join(METHODS), help="comma-separated (default: %(default)s)")
    made.add_argument("--steps", type=int, help="updates (default: 120; 500 with --full)")
    made.add_argument("--width", type=int, help="units of both hidden layers (default: 128; 390 with --full)")
    made.add_argument("--full", action="store_true", help="MNIST at full size")
    made.add_argument("--data-dir", type=Path, default=Path("data"), help="where mnist.npz lies (default: data)")
    made.add_argument("overrides", nargs="*", help="further overrides of every trial")
    options = arguments(made)
    from irm_sweeps.device import tame_allocator

    tame_allocator()
    options.steps = options.steps or (4 if options.quick else 500 if options.full else 120)
    options.width = options.width or (390 if options.full else 128)
    size = "MNIST, 2 x 25,000 images" if options.full else "2 x 2,000 embedded digits"
    print(f"{size}, width {options.width}, {options.steps} steps")
    print("accuracy in %: float32 mean ± sd over seeds; bf16 - float32 of the same seed, mean ± sd")
    print("| method | p_e=0.1 | difference | p_e=0.9 | difference | n |", flush=True)
    print("|---|---|---|---|---|---|")
    tables = []
    for method in options.methods.split(","):
        row, table = pairs(method, options)
        print(row, flush=True)
        tables.append(table)
    print()
    conclude(tables, options)


if __name__ == "__main__":
    main()
