"""How fast is a step of Colored MNIST training, against the published reference's loop?

    python benchmarks/colored_mnist_step.py [--steps 5] [--rounds 3] [--width 390] [--stacks]

Question 1: seconds a step of our solo IRMv1 trial over those of a plain loop written as the published code
is: a forward pass per environment, the test environment's forward pass at every step, the penalty by
autograd with a second backward pass, ordinary Adam. Same data, width, threads; the two alternate, each in a
process of its own, since an allocator setting is part of our side. Without MNIST in IRM_SWEEPS_DATA_DIR the
inputs are random numbers of the same shapes, which cost the same.

Question 2 (`--stacks`): trials per hour of stacks of 1, 4 and 16, at two sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def environments(n: int) -> list[dict[str, Any]]:
    """Return two training environments of n images and a test environment of 10,000, as the trial draws them."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [
        {
            "images": torch.rand(size, 392, generator=generator),
            "labels": torch.randint(0, 2, (size, 1), generator=generator).float(),
        }
        for size in (n, n, 10_000)
    ]


def reference(width: int, steps: int, n: int) -> list[float]:
    """Return seconds per step of a loop in the published code's way."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    envs = environments(n)
    model = nn.Sequential(nn.Linear(392, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    seconds = []
    for step in range(steps + 2):
        started = time.perf_counter()
        for env in envs:
            logits = model(env["images"])
            env["risk"] = F.binary_cross_entropy_with_logits(logits, env["labels"])
            env["accuracy"] = ((logits > 0).float() == env["labels"]).float().mean().detach()
            scale = torch.tensor(1.0, requires_grad=True)
            risk = F.binary_cross_entropy_with_logits(logits * scale, env["labels"])
            (gradient,) = torch.autograd.grad(risk, [scale], create_graph=True)
            env["penalty"] = gradient.square()
        risk = torch.stack([env["risk"] for env in envs[:2]]).mean()
        penalty = torch.stack([env["penalty"] for env in envs[:2]]).mean()
        l2 = sum(p.norm().square() for p in model.parameters())
        loss = (risk + 1e-3 * l2 + 1e4 * penalty) / 1e4
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 2:
            seconds.append(time.perf_counter() - started)
    return seconds


def stack(size: int, overrides: list[str]) -> Any:
    """Return a stack of `size` IRMv1 trials, ready to step."""
    from irm_sweeps.device import choose_device
    from irm_sweeps.sweep.grid import trials
    from irm_sweeps.training.loop import StackTraining

    data_dir = Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "data"))
    found = trials(["method=irmv1", "lam=10000", f"seed=range(0,{size})", *overrides])
    return StackTraining(list(found.values()), data_dir, choose_device("auto"))


def ours(width: int, steps: int, n: int) -> list[float]:
    """Return seconds per step of our solo trial."""
    from irm_sweeps.device import tame_allocator

    tame_allocator()
    if (Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "data")) / "mnist.npz").exists():
        training = stack(1, [f"backbone.width={width}", f"dataset.n_train={n}"])
    else:
        training = stack(1, [f"backbone.width={width}", "dataset.source=embedded", "dataset.n_train=100"])
        train = environments(n)[:2]
        import torch

        training.data._inputs = torch.cat([env["images"] for env in train]).unsqueeze(0)
        training.data._labels = torch.cat([env["labels"] for env in train]).squeeze(1).unsqueeze(0)
    seconds = []
    for step in range(steps + 2):
        started = time.perf_counter()
        training._advance()
        if step >= 2:
            seconds.append(time.perf_counter() - started)
    return seconds


def in_own_process(side: str, options: argparse.Namespace) -> list[float]:
    """Measure one side in a fresh process."""
    command = [sys.executable, __file__, "--side", side, "--steps", str(options.steps)]
    command += ["--width", str(options.width), "--n", str(options.n)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(s) for s in json.loads(answer.stdout.splitlines()[-1])]


def ratio_table(options: argparse.Namespace) -> None:
    """Print question 1."""
    import torch

    measured: dict[str, list[float]] = {"reference": [], "ours": []}
    for _ in range(options.rounds):
        for side, seconds in measured.items():
            seconds += in_own_process(side, options)
    device = f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"IRMv1, 2 x {options.n:,} images, width {options.width}, full batch, float32; {device}")
    print(f"{'':12s}{'s/step':>9s}{'min':>9s}{'max':>9s}{'n':>5s}")
    for side, seconds in measured.items():
        print(f"{side:12s}{statistics.median(seconds):9.3f}{min(seconds):9.3f}{max(seconds):9.3f}{len(seconds):5d}")
    medians = {side: statistics.median(seconds) for side, seconds in measured.items()}
    print(f"ratio of medians, ours / reference: {medians['ours'] / medians['reference']:.2f}")


def stack_table(rounds: int) -> None:
    """Print question 2."""
    print("stacks of IRMv1 trials (300 steps each), trials/hour; ratio to a stack of 1 measured in the same run")
    for n, width, steps in ((500, 32, 60), (2000, 64, 20)):
        rates: dict[int, list[float]] = {1: [], 4: [], 16: []}
        sizes = {
            size: stack(size, ["dataset.source=embedded", f"dataset.n_train={n}", f"backbone.width={width}"])
            for size in rates
        }
        for _ in range(rounds):
            for size, training in sizes.items():
                training._advance()
                started = time.perf_counter()
                for _ in range(max(3, steps // size)):
                    training._advance()
                seconds = (time.perf_counter() - started) / max(3, steps // size)
                rates[size].append(3600 * size / (300 * seconds))
        alone = statistics.median(rates[1])
        for size, values in rates.items():
            rate = statistics.median(values)
            print(
                f"  2 x {n}, width {width:3d}, stack {size:2d}: {rate:8.0f}  ratio {rate / alone:.2f}  (n = {rounds})"
            )


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="measured steps per process (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="alternations (default: 3)")
    parser.add_argument("--width", type=int, default=390)
    parser.add_argument("--n", type=int, default=25_000, help="images per environment (default: 25000)")
    parser.add_argument("--stacks", action="store_true", help="question 2 as well")
    parser.add_argument("--side", choices=["reference", "ours"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side = reference if options.side == "reference" else ours
        print(json.dumps(side(options.width, options.steps, options.n)))
        return
    ratio_table(options)
    if options.stacks:
        stack_table(options.rounds)


if __name__ == "__main__":
    main()
