"""What does a stage that freezes the encoder gain from one encoder pass for all its steps?

    python benchmarks/frozen_stages.py [--steps 15] [--rounds 1] [--width 390] [--n 25000]

CPU seconds a step at full batch, in bf16, of two stages, by two sides that take turns, in a process of their own each:

* EIIL's environment inference, which trains a number for each image and freezes the network;
* RFC's last stage with a frozen representation, which trains the head.

`shared` is what a trial does; `each step` makes a pass in every step, as it would if its images changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from colored_mnist_step import write_random_mnist
from frame import Table, answer, arguments, conclude, in_own_process, parser

STAGES = {
    "EIIL's inference": ["method=eiil", "method.reference_steps=1"],
    "RFC's frozen stage": [
        "method=rfc",
        "method.frozen=true",
        "method.discovery_steps=1",
        "method.second_discovery_steps=1",
        "method.synthesis_steps=1",
    ],
}
SIDES = ("each step", "shared")


def measure(stage: str, side: str, options: argparse.Namespace) -> list[float]:
    """Return the CPU seconds of steps of a stage, after one that warms up."""
    from irm_sweeps.device import choose_device, numerics, tame_allocator
    from irm_sweeps.sweep.grid import trials
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    own = [f"backbone.width={options.width}", f"dataset.n_train={options.n}", "training.precision=bf16"]
    (trial,) = trials([*STAGES[stage], *own]).values()
    training: Any = StackTraining([trial], options.data_dir, choose_device("auto"))
    training._passes._repeats = side == "shared"
    found = []
    with numerics(training.device, training.data.large):
        while training.step <= training.timeline.later()[-1 if stage.startswith("RFC") else 0]:
            training._advance()
        for _ in range(options.steps):
            began = time.process_time()
            training._advance()
            found.append(time.process_time() - began)
    return found


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--steps", type=int, default=15, help="measured steps per process (default: 15)")
    made.add_argument("--width", type=int, default=390, help="units of both hidden layers (default: 390)")
    made.add_argument("--n", type=int, default=25_000, help="images per environment (default: 25000)")
    options = arguments(made)
    if options.quick:
        options.steps, options.width, options.n = 2, 32, 500
    if options.side:
        with tempfile.TemporaryDirectory() as folder:
            options.data_dir = Path(folder)
            write_random_mnist(options.data_dir)
            stage, _, side = options.side.partition(": ")
            answer(measure(stage, side, options))
        return
    one_thread = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    tables = []
    for stage in STAGES:
        table = Table(f"a step of {stage}, 2 x {options.n:,} images", rival="each step", unit="CPU s/step")
        sides = {side: partial(in_own_process, f"{stage}: {side}", env=one_thread) for side in SIDES}
        table.measure(sides, options.rounds)
        tables.append(table)
    conclude(tables, options)


if __name__ == "__main__":
    main()
