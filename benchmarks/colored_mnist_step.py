"""How fast is a step of Colored MNIST training, against the published loop and against what the machine can do?

    python benchmarks/colored_mnist_step.py [--steps 5] [--rounds 2] [--width 390] [--n 25000] [--classes 2]

Seconds a step of IRMv1 at full batch, of nine sides that take turns, each in a process of its own:

* `published loop`: a plain loop as the published code writes it, torch as it comes: a forward pass per environment,
  the test environment's at every step, the penalty by autograd with a second backward pass, ordinary Adam;
* `float32`, `bf16`: our solo trial, `training.precision` of that name;
* `compiled float32`, `compiled bf16`: the same with `compile=true`;
* `floor float32`, `floor bf16`: the matrix products that the mathematics needs and nothing else, on ready tensors.
  Of each layer the output and the weights' gradient, of all but the first the inputs' gradient; of the first layer
  only the pixels that are not zero by construction. For float32 on a CPU each product by the quicker of torch's two
  libraries;
* `lit floor float32`, `lit floor bf16`: the same without pixels that are dark in every image, 25 of a channel's 196.

The images are random bytes of MNIST's shape, and as many pixels near the border are dark as in MNIST's. On the GPU if
there is one (its products of float32 on all sides: torch's default for matrices), else on one thread (OMP_NUM_THREADS,
if set).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from frame import Table, conclude, in_own_process, timed
from single_steps import LIT, ONE_THREAD, PIXELS, answer_with, step_arguments, step_parser

PRECISIONS = ("float32", "bf16")
KINDS = ("", "compiled ", "floor ", "lit floor ")
SIDES = ("published loop", *(kind + precision for kind in KINDS for precision in PRECISIONS))
LAM = 10_000


def trial(options: argparse.Namespace, precision: str) -> Any:
    """Return the IRMv1 trial."""
    from irm_sweeps.sweep.grid import trials

    own = [f"backbone.width={options.width}", f"dataset.n_train={options.n}", f"dataset.classes={options.classes}"]
    (found,) = trials(["method=irmv1", f"lam={LAM}", f"training.precision={precision}", *own]).values()
    return found


def published_loop(options: argparse.Namespace) -> list[float]:
    """Return seconds per step of a loop in the published code's way."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from irm_sweeps.device import choose_device

    device = choose_device("auto")
    drawn = trial(options, "float32").dataset.draw(0, options.data_dir)
    test = drawn.held_out["test"]
    shifted = list(test.environments.values())[-1]
    images = [*drawn.inputs, test.inputs[shifted.index]]
    labels = [*drawn.labels, shifted.labels]
    binary = options.classes == 2
    envs: list[dict[str, Any]] = [
        {
            "images": torch.from_numpy(x).to(device),
            "labels": (torch.from_numpy(y).float()[:, None] if binary else torch.from_numpy(y)).to(device),
        }
        for x, y in zip(images, labels, strict=True)
    ]
    cost = F.binary_cross_entropy_with_logits if binary else F.cross_entropy
    width, outputs = options.width, 1 if binary else options.classes
    layers = [nn.Linear(images[0].shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, outputs)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)

    def step() -> None:
        for env in envs:
            logits = model(env["images"])
            env["risk"] = cost(logits, env["labels"])
            predicted = (logits > 0).float() if binary else logits.argmax(1)
            env["accuracy"] = (predicted == env["labels"]).float().mean().detach()
            scale = torch.tensor(1.0, device=device, requires_grad=True)
            (gradient,) = torch.autograd.grad(cost(logits * scale, env["labels"]), [scale], create_graph=True)
            env["penalty"] = gradient.square()
        risk = torch.stack([env["risk"] for env in envs[:2]]).mean()
        penalty = torch.stack([env["penalty"] for env in envs[:2]]).mean()
        l2 = sum(p.norm().square() for p in model.parameters())
        loss = (risk + 1e-3 * l2 + LAM * penalty) / LAM
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return timed(step, options.steps)


def ours(options: argparse.Namespace, precision: str, compiled: bool) -> list[float]:
    """Return seconds per step of our solo trial."""
    from irm_sweeps.device import choose_device, numerics, tame_allocator
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    device = choose_device("auto")
    training = StackTraining([trial(options, precision)], options.data_dir, device, compiled=compiled)
    with numerics(training.device, training.data.large):
        return timed(training._advance, options.steps)


def shapes(options: argparse.Namespace, pixels: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (images, inputs, outputs, whether the inputs' gradient is needed) of each product of a step."""
    for _ in range(options.classes):
        yield 2 * options.n // options.classes, pixels, options.width, False
    yield 2 * options.n, options.width, options.width, True
    yield 2 * options.n, options.width, 1 if options.classes == 2 else options.classes, True


def work(options: argparse.Namespace, pixels: int) -> float:
    """Return the floating-point operations of a step's products."""
    return sum(2.0 * n * k * m * (3 if whole else 2) for n, k, m, whole in shapes(options, pixels))


def floor(options: argparse.Namespace, precision: str, pixels: int) -> list[float]:
    """Return seconds of the products of a step."""
    import torch
    from torch.nn import functional as F

    from irm_sweeps.device import choose_device, quick_products, tame_allocator

    tame_allocator()
    device = choose_device("auto")
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    libraries = (True, False) if precision == "float32" and device.type == "cpu" else (False,)
    total = [0.0] * options.steps
    for n, inputs, outputs, whole in shapes(options, pixels):
        random = partial(torch.randn, dtype=dtype, device=device)
        x, g, weight, bias = random(n, inputs), random(n, outputs), random(outputs, inputs), random(outputs)
        products: list[Callable[[], Any]] = [lambda: F.linear(x, weight, bias), lambda: g.mT @ x]  # noqa: B023
        products += [lambda: g @ weight] if whole else []  # noqa: B023
        for product in products:
            by_library = []
            for quick in libraries:
                with quick_products(quick):
                    by_library.append(timed(product, options.steps))
            total = [a + b for a, b in zip(total, min(by_library, key=statistics.median), strict=True)]
    return total


def measure(side: str, options: argparse.Namespace) -> list[float]:
    """Return one side's seconds per step."""
    if side == "published loop":
        return published_loop(options)
    kind, _, precision = side.rpartition(" ")
    if kind.endswith("floor"):
        return floor(options, precision, LIT if kind == "lit floor" else PIXELS)
    return ours(options, precision, kind == "compiled")


def main() -> None:
    made = step_parser(__doc__, rounds=2, steps=5)
    made.add_argument("--classes", type=int, default=2, choices=[2, 5, 10], help="classes and colours (default: 2)")
    options = step_arguments(made)
    if options.side:
        answer_with(measure, options)
        return
    shape = f"IRMv1, 2 x {options.n:,} images, {options.classes} colours, width {options.width}"
    step = Table(f"a step of {shape}", rival="published loop", unit="s/step")
    step.measure({side: partial(in_own_process, side, env=ONE_THREAD) for side in SIDES}, options.rounds)
    conclude([step, *(beside_floor(step, precision, options) for precision in PRECISIONS)], options)


def beside_floor(step: Table, precision: str, options: argparse.Namespace) -> Table:
    """Return what of a step the mathematics needs, from what was measured."""
    floor, lit_floor = f"floor {precision}", f"lit floor {precision}"
    flop = work(options, PIXELS) / 1e9
    lit_flop = work(options, LIT) / 1e9
    rate = flop / statistics.median(step.values[floor])
    return Table(
        f"{precision} step, width {options.width}",
        rival=floor,
        unit="s/step",
        note=f"{floor}: {flop:.1f} GFLOP a step at {rate:.0f} GFLOP/s; {lit_floor}: {lit_flop:.1f} GFLOP",
        values={side: step.values[side] for side in (precision, floor, lit_floor)},
    )


if __name__ == "__main__":
    main()
