"""Load CIFAR-10 from `cifar10.npz`, from torchvision's folder, or by download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irm_sweeps.data.archives import digest, load_or_explain, read_npz
from irm_sweeps.data.cifar_batches import load_batches
from irm_sweeps.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Names of CIFAR-10's classes, by class number."""


@dataclass(frozen=True)
class Pictures:
    """The official training and test images of some classes, in their official order.

    Images are `[n, 32, 32, 3]` uint8, classes `[n]` class numbers; `sha256` is of these arrays.
    """

    train_images: npt.NDArray[np.uint8]
    train_classes: npt.NDArray[np.uint8]
    test_images: npt.NDArray[np.uint8]
    test_classes: npt.NDArray[np.uint8]
    sha256: str


@lru_cache(maxsize=2)
def load_pictures(data_dir: Path, classes: tuple[int, ...]) -> Pictures:
    """Return the images of the given classes; the archive may lack other classes.

    Raises
    ------
    UserError
        `data_dir` has no readable CIFAR-10 and it cannot be downloaded, or a class is not in it.
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
    return load_or_explain(partial(load_batches, data_dir), "CIFAR-10", data_dir, layouts)


def _checked(
    images: npt.NDArray[Any], numbers: npt.NDArray[Any], path: Path, split: str, classes: Sequence[int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the images and class numbers of `classes`; raise a UserError if the arrays are not CIFAR-10's."""
    numbers = numbers.reshape(-1)  # Keras stores a column
    valid_shapes = images.dtype == np.uint8 and images.shape == (len(numbers), 32, 32, 3)
    if not valid_shapes or not np.isin(numbers, range(10)).all():
        raise UserError(
            f"{path}: x_{split} is {images.dtype}{list(images.shape)}, y_{split} {numbers.dtype}{list(numbers.shape)}; "
            "expected uint8[n, 32, 32, 3] and [n] class numbers 0...9"
        )
    absent = [f"{number} ({CLASSES[number]})" for number in classes if number not in numbers]
    if absent:
        present = ", ".join(f"{number} ({CLASSES[number]})" for number in np.unique(numbers))
        raise UserError(f"{path}: x_{split} has no image of class {', '.join(absent)}; it has {present}")
    chosen = np.isin(numbers, classes)
    return images[chosen], numbers[chosen].astype(np.uint8)
