"""Read CIFAR-10 from its authors' files, safely.

The files are pickles in a tar archive. The unpickler here builds arrays of bytes, lists and dicts, and nothing else; no
code in a file is executed.
"""

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
from irm_sweeps.files.downloads import PublishedFile
from irm_sweeps.files.untrusted import MIB, read_regular

FOLDER = "cifar-10-batches-py"
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
NAMES = [*BATCHES["train"], *BATCHES["test"], "batches.meta"]
"""The files that torchvision expects in the folder."""
ARCHIVE = PublishedFile(
    "cifar-10-python.tar.gz",
    ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"],
    170_498_071,
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
LARGEST = 64 * MIB
"""Maximum size of a batch file in bytes: twice that of CIFAR-10's."""


def load_batches(data_dir: Path) -> dict[str, npt.NDArray[Any]]:
    """Return `x_train`, `x_test` `[n, 32, 32, 3]` uint8 and `y_train`, `y_test` `[n]`; download missing files.

    Raises
    ------
    UserError
        The archive cannot be downloaded.
    OSError, ValueError
        A file cannot be read, or is not a batch of CIFAR-10.
    """
    folder = data_dir / FOLDER
    if not all((folder / name).exists() for names in BATCHES.values() for name in names):
        unpack(ARCHIVE.fetch(data_dir), data_dir)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for split, names in BATCHES.items():
        batches = [read_batch(folder / name) for name in names]
        arrays[f"x_{split}"] = np.concatenate([images for images, _ in batches])
        arrays[f"y_{split}"] = np.concatenate([labels for _, labels in batches])
    return arrays


def unpack(archive: Path, data_dir: Path) -> None:
    """Extract the files named in `NAMES` from CIFAR-10's archive, and no others.

    Raises
    ------
    OSError, ValueError
        The archive is damaged or lacks a file.
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
    """Return the images `[n, 32, 32, 3]` and labels `[n]` of a batch file; no code in it is executed.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or is not a batch of CIFAR-10.
    """
    content = read_regular(path, LARGEST, follow=True)
    try:
        batch = _Reader(io.BytesIO(content), encoding="bytes").load()
        plain = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        images, labels = plain["data"].array(), plain["labels"]
    except Exception as error:  # a malicious pickle can raise any exception
        raise ValueError(f"{path}: no batch of CIFAR-10 ({' '.join(f'{error!r}'.split()):.200})") from None
    if not isinstance(labels, list) or {type(label) for label in labels} != {int} or images.shape[0] != len(labels):
        raise ValueError(f"{path}: its labels are no list of {images.shape[0]} numbers")
    if not all(0 <= label < 10 for label in labels):
        raise ValueError(f"{path}: a label is none of 0...9")
    pictures = np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return pictures, np.array(labels, np.int64)


class _Array:
    """Stand-in for a numpy array while its pickle is read."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> npt.NDArray[np.uint8]:
        """Return the array.

        Raises
        ------
        ValueError
            It is not `[n, 3072]` unsigned bytes.
        """
        _, shape, dtype, _, content = self._state
        if not isinstance(dtype, _Type) or dtype.name not in ("u1", b"u1") or not isinstance(content, bytes):
            raise ValueError("its data are no bytes")
        if len(shape) != 2 or shape[1] != 3 * 32 * 32:
            raise ValueError(f"its data are {shape}")
        return np.frombuffer(content, np.uint8).reshape(shape)


class _Type:
    """Stand-in for a numpy dtype."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        del state


def _encoded(text: str, encoding: str) -> bytes:
    """Stand-in for `_codecs.encode`, with which Python 3 pickles bytes in old protocols."""
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
    """An unpickler that resolves the names in `_KNOWN` to stand-ins, and refuses all others."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return the stand-in for a name.

        Raises
        ------
        ValueError
            The name is not in `_KNOWN`.
        """
        if (module_name, global_name) not in _KNOWN:
            raise ValueError(f"it asks for {module_name}.{global_name}")
        return _KNOWN[module_name, global_name]
