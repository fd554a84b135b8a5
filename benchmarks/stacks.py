"""How many trials an hour does a stack of 1, 4, 16, 64 train?

    python benchmarks/stacks.py [--sizes 1,4,16,64] [--threads 1]

IRMv1 on embedded digits in three shapes, from tiny to large, on the GPU if there is one, else on one thread, as the
local launcher's workers have. Rival: a stack of 1. Also said: what `stack=auto` would choose, and why.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from frame import Table, arguments, conclude, parser

SHAPES = ((100, 16), (500, 32), (2000, 128))
"""Images of each of two environments, and width."""
STEPS = 500
"""Of a trial: seconds a step become trials an hour."""
NOWHERE = Path("data")


def grid(size: int, n: int, width: int) -> list[Any]:
    from irm_sweeps.sweep.grid import trials

    own = ["dataset.source=embedded", f"dataset.n_train={n}", f"backbone.width={width}", f"training.steps={STEPS}"]
    return list(trials(["method=irmv1", f"seed=range(0,{size})", *own]).values())


def trials_per_hour(training: Any, seconds: float) -> float:
    """Step for about so long."""
    training._wait()
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < seconds:
        training._advance()
        training._wait()
        steps += 1
    return 3600 * len(training.trials) * steps / STEPS / (time.perf_counter() - started)


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--sizes", default="1,4,16,64")
    made.add_argument("--threads", type=int, default=1)
    options = arguments(made)
    import torch

    from irm_sweeps.device import choose_device, tame_allocator
    from irm_sweeps.sweep.stacks import Machine, form_stacks
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    torch.set_num_threads(options.threads)
    device = choose_device("auto")
    machine = Machine.of(device.type == "cuda", workers=1, devices=1)
    tables = []
    for n, width in SHAPES[:1] if options.quick else SHAPES:
        chosen = form_stacks(grid(64, n, width), "auto", machine, NOWHERE).lines()
        table = Table(
            f"2 x {n} images, width {width}", rival="stack of 1", unit="trials/hour", better="high", note=chosen[0]
        )
        sides = {}
        for size in map(int, options.sizes.split(",")):
            training = StackTraining(grid(size, n, width), NOWHERE, device)
            training._advance()
            sides[f"stack of {size}"] = partial(trials_per_hour, training, 0.1 if options.quick else 1.5)
        table.measure(sides, options.rounds)
        tables.append(table)
        del sides
    conclude(tables, options)
    if device.type == "cuda":
        print(f"\npeak memory of the GPU: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")
    best = [max(t.values, key=lambda side: statistics.median(t.values[side])) for t in tables]
    print("\nfastest: " + "; ".join(f"{side} at {table.name}" for side, table in zip(best, tables, strict=True)))


if __name__ == "__main__":
    main()
