"""What does a stage that freezes the encoder gain from one encoder pass for all its steps?

    python benchmarks/frozen_stages.py [--steps 15] [--rounds 1] [--width 390] [--n 25000]

CPU seconds a step at full batch, in bf16, of two stages, by two sides that take turns, in a process of their own each:

* EIIL's environment inference, which trains a number for each image and freezes the network;
* RFC's last stage with a frozen representation, which trains the head.

`shared` is what a trial does; `each step` makes a pass in every step, as it would if its images changed.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

from frame import Table, conclude, in_own_process
from single_steps import ONE_THREAD, answer_with, step_arguments, step_parser

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


def measure(stage_and_side: str, options: argparse.Namespace) -> list[float]:
    """Return the CPU seconds of steps of a stage, after one that warms up."""
    from irm_sweeps.device import choose_device, numerics, tame_allocator
    from irm_sweeps.sweep.grid import trials
    from irm_sweeps.training.loop import StackTraining

    stage, _, side = stage_and_side.partition(": ")
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
    options = step_arguments(step_parser(__doc__, rounds=1, steps=15))
    if options.side:
        answer_with(measure, options)
        return
    tables = []
    for stage in STAGES:
        table = Table(f"a step of {stage}, 2 x {options.n:,} images", rival="each step", unit="CPU s/step")
        sides = {side: partial(in_own_process, f"{stage}: {side}", env=ONE_THREAD) for side in SIDES}
        table.measure(sides, options.rounds)
        tables.append(table)
    conclude(tables, options)


if __name__ == "__main__":
    main()
