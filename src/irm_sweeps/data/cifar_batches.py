"""CIFAR-10 in the files that its authors publish, which are pickles: only what builds their arrays is let through."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irm_sweeps.files.atomic import replacing
from irm_sweeps.files.downloads import Published
from irm_sweeps.files.untrusted import MIB, read_regular

FOLDER = "cifar-10-batches-py"
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
NAMES = [*BATCHES["train"], *BATCHES["test"], "batches.meta"]
"""What torchvision expects in the folder."""
ARCHIVE = Published(
    "cifar-10-python.tar.gz",
    ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"],
    170_498_071,
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
LARGEST = 64 * MIB
"""Most bytes of a batch: twice those of CIFAR-10's."""


def load_batches(data_dir: Path) -> dict[str, npt.NDArray[Any]]:
    """Return `x_train`, `x_test` `[n, 32, 32, 3]` uint8 and `y_train`, `y_test` `[n]`, downloaded where absent.

    Raises
    ------
    UserError
        The archive cannot be downloaded.
    OSError, ValueError
        A file cannot be read, or is no batch of CIFAR-10.
    """
    folder = data_dir / FOLDER
    if not all((folder / name).exists() for names in BATCHES.values() for name in names):
        unpack(ARCHIVE.fetch(data_dir), data_dir)
    found: dict[str, npt.NDArray[Any]] = {}
    for split, names in BATCHES.items():
        batches = [read_batch(folder / name) for name in names]
        found[f"x_{split}"] = np.concatenate([images for images, _ in batches])
        found[f"y_{split}"] = np.concatenate([labels for _, labels in batches])
    return found


def unpack(archive: Path, data_dir: Path) -> None:
    """Take the files of CIFAR-10 out of its archive, by name; whatever else is in it stays there.

    Raises
    ------
    OSError, ValueError
        It is damaged or lacks one of them.
    """
    folder = data_dir / FOLDER
    missing = {f"{FOLDER}/{name}": folder / name for name in NAMES}
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            path = missing.get(member.name)
            if path is None or not member.isreg() or member.size > LARGEST:
                continue
            with members.extractfile(member) as source, replacing(path) as target:  # type: ignore[union-attr]
                shutil.copyfileobj(source, target)
            del missing[member.name]
    if missing:
        raise ValueError(f"{archive} has no {', '.join(missing)}")


def read_batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images `[n, 32, 32, 3]` and labels `[n]` of a batch; nothing in it is called.

    Raises
    ------
    OSError, ValueError
        It cannot be read, or is no batch of CIFAR-10.
    """
    content = read_regular(path, LARGEST, follow=True)
    try:
        batch = _Reader(io.BytesIO(content), encoding="bytes").load()
        plain = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        images, labels = plain["data"].array(), plain["labels"]
    except Exception as error:  # unpickling raises whatever its bytes ask for
        raise ValueError(f"{path}: no batch of CIFAR-10 ({' '.join(f'{error!r}'.split()):.200})") from None
    if not isinstance(labels, list) or {type(label) for label in labels} != {int} or images.shape[0] != len(labels):
        raise ValueError(f"{path}: its labels are no list of {images.shape[0]} numbers")
    if not all(0 <= label < 10 for label in labels):
        raise ValueError(f"{path}: a label is none of 0...9")
    pictures = np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return pictures, np.array(labels, np.int64)


class _Array:
    """Stands for an array while its pickle is read."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> npt.NDArray[np.uint8]:
        """Return it, if it is rows of bytes."""
        _, shape, dtype, _, content = self._state
        if not isinstance(dtype, _Type) or dtype.name not in ("u1", b"u1") or not isinstance(content, bytes):
            raise ValueError("its data are no bytes")
        if len(shape) != 2 or shape[1] != 3 * 32 * 32:
            raise ValueError(f"its data are {shape}")
        return np.frombuffer(content, np.uint8).reshape(shape)


class _Type:
    """Stands for the array's type."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        del state


def _encoded(text: str, encoding: str) -> bytes:
    """Return bytes that Python 3 has pickled in an old protocol."""
    del encoding
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}


class _Reader(pickle.Unpickler):
    """An unpickler that knows five names, and for each a stand-in of its own."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return the stand-in."""
        if (module_name, global_name) not in _KNOWN:
            raise ValueError(f"it asks for {module_name}.{global_name}")
        return _KNOWN[module_name, global_name]
