"""How many trials an hour does a stack of 1 to 2,048 train, with and without `compile=true`?

    python benchmarks/stacks.py [--sizes 1,4,16,64,512,2048] [--threads 1]

IRMv1 on embedded digits in three shapes, from tiny to large, on the GPU if there is one, else on one thread, as the
local launcher's workers have. Rival: a stack of 1. Stacks whose step needs more than `LARGEST` GFLOP are left out:
where the products take most of the time, a larger stack gains nothing. Also said: what `stack=auto` would choose, and
why, and how long the first compiled steps took.

All trials of a stack see the same images, drawn once, and few test images: neither is part of a step.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from frame import Table, arguments, conclude, parser

SHAPES = ((100, 16, 8), (500, 32, 82), (2000, 128, 1607))
"""Images of each of two environments, width, and MFLOP of a step."""
LARGEST = {"cpu": 20, "cuda": 2000}
"""GFLOP of a step of the largest stack that is measured."""
FEW = 10
"""Test images of each environment."""
STEPS = 500
"""Of a trial: seconds a step become trials an hour."""
NOWHERE = Path("data")


def grid(size: int, n: int, width: int) -> list[Any]:
    from irm_sweeps.data.colored_mnist import ColoredMNIST
    from irm_sweeps.data.dataset import Environment, EvaluationSet, TrialData
    from irm_sweeps.sweep.grid import trials

    own = ["dataset.source=embedded", f"dataset.n_train={n}", f"backbone.width={width}", f"training.steps={STEPS}"]
    found = list(trials(["method=irmv1", f"seed=range(0,{size})", *own]).values())
    drawn = found[0].dataset.draw(0, NOWHERE)
    test = drawn.held_out["test"]
    few = {name: Environment(own.index[:FEW] % FEW, own.labels[:FEW]) for name, own in test.environments.items()}
    drawn = replace(drawn, held_out={"test": EvaluationSet(test.inputs[:FEW], few)})

    class SameImages(ColoredMNIST):
        def draw(self, seed: int, data_dir: Path) -> TrialData:
            del seed, data_dir
            return drawn

    shared = SameImages.model_validate(found[0].dataset.model_dump(exclude={"target"}))
    return [trial.model_copy(update={"dataset": shared}) for trial in found]


def trials_per_hour(training: Any, seconds: float) -> float:
    """Step for about so long; the host waits for the device as often as in training."""
    from irm_sweeps.device import numerics

    every = training.trials[0].training.log_every
    with numerics(training.device, training.data.large):
        training._wait()
        started, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - started < seconds:
            for _ in range(every):
                training._advance()
            training._wait()
            steps += every
        passed = time.perf_counter() - started
    return 3600 * len(training.trials) * steps / STEPS / passed


def main() -> None:
    made = parser(__doc__, rounds=2)
    made.add_argument("--sizes", default="1,4,16,64,512,2048")
    made.add_argument("--threads", type=int, default=1)
    options = arguments(made)
    import torch

    from irm_sweeps.device import choose_device, tame_allocator
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.sweep.stacks import form_stacks
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    torch.set_num_threads(options.threads)
    device = choose_device("auto")
    machine = InProcess().machine("auto")
    tables = []
    for n, width, mflop in SHAPES[:1] if options.quick else SHAPES:
        sizes = [size for size in map(int, options.sizes.split(",")) if size * mflop <= 1000 * LARGEST[device.type]]
        chosen = form_stacks(grid(64, n, width), "auto", machine, NOWHERE).lines()
        table = Table(
            f"2 x {n} images, width {width}", rival="stack of 1", unit="trials/hour", better="high", note=chosen[0]
        )
        sides, compiling = {}, 0.0
        for size in sizes[:2] if options.quick else sizes:
            for name, compiled in ((f"stack of {size}", False), (f"stack of {size}, compiled", True)):
                training = StackTraining(grid(size, n, width), NOWHERE, device, compiled=compiled)
                started = time.perf_counter()
                trials_per_hour(training, 0)  # to warm up, or to compile
                compiling += (time.perf_counter() - started) * compiled
                sides[name] = partial(trials_per_hour, training, 0.1 if options.quick else 0.5)
        table.note += f"\nthe first steps of the compiled: {compiling:.0f} s"
        table.measure(sides, options.rounds)
        tables.append(table)
        del sides
    conclude(tables, options)
    if device.type == "cuda":
        print(f"\npeak memory of the GPU, with these stacks together: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")
    best = [max(t.values, key=lambda side: statistics.median(t.values[side])) for t in tables]
    print("\nfastest: " + "; ".join(f"{side} at {table.name}" for side, table in zip(best, tables, strict=True)))


if __name__ == "__main__":
    main()
