"""Small archives in the formats of the real data sets, for tests that need no download."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

CLASSES = (1, 2, 9)


@cache
def pictures(train: int = 400, test: int = 200) -> dict[str, np.ndarray]:
    """Return arrays in CIFAR-10's layout; each class is a hue with noise, so that networks can learn it."""
    generator = np.random.default_rng(0)
    found = {}
    for split, n in (("train", train), ("test", test)):
        numbers = np.repeat(CLASSES, n)
        hue = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])[np.searchsorted(CLASSES, numbers)]
        images = hue[:, None, None, :] + generator.integers(-50, 50, (len(numbers), 32, 32, 3))
        found |= {f"x_{split}": images.clip(0, 255).astype(np.uint8), f"y_{split}": numbers.reshape(-1, 1)}
    return found


@cache
def digits() -> dict[str, np.ndarray]:
    """Return arrays in MNIST's layout and size: a 1 is a bar, a 0 a box; the first row encodes the image's number."""
    generator = np.random.default_rng(1)
    found = {}
    for split, n in (("train", 60_000), ("test", 10_000)):
        labels = generator.integers(0, 10, n).astype(np.uint8)
        images = np.zeros((n, 28, 28), np.uint8)
        images[labels == 1, 4:24, 13:16] = 255
        images[labels == 0, 6:22, 6:22] = 255
        images[:, 0, 0], images[:, 0, 1] = np.arange(n) % 256, np.arange(n) // 256
        found |= {f"x_{split}": images, f"y_{split}": labels}
    return found


def write_archives(folder: Path) -> Path:
    """Write `mnist.npz` and `cifar10.npz`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist.npz", **digits())
    np.savez(folder / "cifar10.npz", **pictures())
    return folder
