"""CIFAR-10 from wherever this machine has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irm_sweeps.data.archives import digest, found_or_fetched, read_npz
from irm_sweeps.data.cifar_batches import load_batches
from irm_sweeps.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's classes, by number."""


@dataclass(frozen=True)
class Pictures:
    """Official training and test images `[n, 32, 32, 3]` uint8 of some classes, in their order, and class numbers."""

    train_images: npt.NDArray[np.uint8]
    train_classes: npt.NDArray[np.uint8]
    test_images: npt.NDArray[np.uint8]
    test_classes: npt.NDArray[np.uint8]
    sha256: str


@lru_cache(maxsize=2)
def load_pictures(data_dir: Path, classes: tuple[int, ...]) -> Pictures:
    """Return the images of the given classes; an archive that holds these classes only is enough.

    Raises
    ------
    UserError
        No readable CIFAR-10 in `data_dir` and none can be downloaded, or a class is not in it.
    """
    path = data_dir / "cifar10.npz"
    arrays = read_npz(path) if path.exists() else _from_torchvision(data_dir)
    where = path if path.exists() else data_dir / "cifar-10-batches-py"
    train, test = (
        _checked(arrays[f"x_{split}"], arrays[f"y_{split}"], where, split, classes) for split in ("train", "test")
    )
    return Pictures(*train, *test, digest(*train, *test))


def _from_torchvision(data_dir: Path) -> dict[str, npt.NDArray[Any]]:
    layouts = "cifar10.npz (x_train, y_train, x_test, y_test) or torchvision's cifar-10-batches-py folder there"
    return found_or_fetched(partial(load_batches, data_dir), "CIFAR-10", data_dir, layouts)


def _checked(
    images: npt.NDArray[Any], numbers: npt.NDArray[Any], path: Path, split: str, classes: Sequence[int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    numbers = numbers.reshape(-1)  # Keras has a column
    shaped = images.dtype == np.uint8 and images.shape == (len(numbers), 32, 32, 3)
    if not shaped or not np.isin(numbers, range(10)).all():
        raise UserError(
            f"{path}: x_{split} is {images.dtype}{list(images.shape)}, y_{split} {numbers.dtype}{list(numbers.shape)}; "
            "expected uint8[n, 32, 32, 3] and [n] class numbers 0...9"
        )
    absent = [f"{number} ({CLASSES[number]})" for number in classes if number not in numbers]
    if absent:
        held = ", ".join(f"{number} ({CLASSES[number]})" for number in np.unique(numbers))
        raise UserError(f"{path}: x_{split} has no image of class {', '.join(absent)}; it has {held}")
    chosen = np.isin(numbers, classes)
    return images[chosen], numbers[chosen].astype(np.uint8)
