"""What the benchmarks of single steps on Colored MNIST share: images of its shape, options, and how a side answers."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from frame import answer, arguments, parser

PIXELS = 14 * 14
LIT = 171
"""Pixels of a channel that some image of MNIST lights."""
ONE_THREAD = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
"""The environment of a side's process."""


def step_parser(doc: str | None, *, rounds: int, steps: int) -> argparse.ArgumentParser:
    """Return the options of a benchmark of steps."""
    made = parser(doc, rounds=rounds)
    made.add_argument("--steps", type=int, default=steps, help=f"measured steps per process (default: {steps})")
    made.add_argument("--width", type=int, default=390, help="units of both hidden layers (default: 390)")
    made.add_argument("--n", type=int, default=25_000, help="images per environment (default: 25000)")
    return made


def step_arguments(made: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options that were typed; with `--quick`, of a step that takes milliseconds."""
    options = arguments(made)
    if options.quick:
        options.steps, options.width, options.n = 2, 32, 500
    return options


def answer_with(measure: Callable[[str, argparse.Namespace], list[float]], options: argparse.Namespace) -> None:
    """Say what `measure` finds of the side that is asked for, with random images in `options.data_dir`."""
    with tempfile.TemporaryDirectory() as folder:
        options.data_dir = Path(folder)
        _write_random_mnist(options.data_dir)
        answer(measure(options.side, options))


def _write_random_mnist(folder: Path) -> None:
    """Write `mnist.npz` of random bytes; of every second row and column, all but `LIT` pixels are dark."""
    import numpy as np

    random = np.random.default_rng(0)
    arrays = {}
    for split, size in (("train", 60_000), ("test", 10_000)):
        arrays[f"x_{split}"] = random.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        arrays[f"x_{split}"][:, 0] = 0
        arrays[f"x_{split}"][:, : 2 * (PIXELS - LIT - 14) + 2, 0] = 0
        arrays[f"y_{split}"] = random.integers(0, 10, size, dtype=np.uint8)
    np.savez(folder / "mnist.npz", **arrays)
