"""Read `.npz` archives of images in Keras' layout safely, even if they are damaged or malicious."""

from __future__ import annotations

import hashlib
import math
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from irm_sweeps.errors import UserError
from irm_sweeps.files.untrusted import MIB, open_regular

Array = npt.NDArray[Any]
T = TypeVar("T")

KEYS = ("x_train", "y_train", "x_test", "y_test")
LARGEST = 1024 * MIB
"""Maximum size of an array in bytes; CIFAR-10's training images have 147 MiB."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, keys: Sequence[str] = KEYS) -> dict[str, Array]:
    """Return the arrays `keys`, some or all of `KEYS`, of an archive; pickled objects inside it are never loaded.

    Raises
    ------
    UserError
        The file is damaged or lacks one of `KEYS`; the message says which file is needed.
    """
    try:
        with open_regular(path, follow=True) as file, zipfile.ZipFile(file) as archive:
            missing = [key for key in KEYS if f"{key}.npy" not in archive.namelist()]
            if missing:
                raise UserError(f"{path} lacks the arrays {missing}: it needs {list(KEYS)}, as Keras' {path.name} has")
            arrays = {}
            for key in keys:
                with archive.open(f"{key}.npy") as member:
                    arrays[key] = _read_array(member)
            return arrays
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        MemoryError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        raise UserError(f"{path} is damaged ({reason}): delete it, or put an intact {path.name} there") from None


def _read_array(member: IO[bytes]) -> Array:
    """Return an array of numbers; its size is checked before memory is allocated.

    Raises
    ------
    ValueError
        The array is not of numbers, is larger than `LARGEST`, or does not have the size that its header gives.
    """
    version = np.lib.format.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"an array of format {version}")
    shape, fortran, dtype = _HEADERS[version](member)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}, not of numbers")
    size = math.prod(shape) * dtype.itemsize
    if not 0 <= size <= LARGEST or min(shape, default=1) < 0:
        raise ValueError(f"an array that claims to be {dtype}{list(shape)}")
    content = member.read(size + 1)
    if len(content) != size:
        raise ValueError(f"an array of {dtype}{list(shape)} in {'more' if len(content) > size else 'less'} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy()


def load_or_explain(load: Callable[[], T], what: str, data_dir: Path, layouts: str) -> T:
    """Return `load()`, which reads or downloads the files that the data set's authors publish.

    Raises
    ------
    UserError
        `load` failed; the message says where to put which files (`layouts`).
    """
    try:
        return load()
    except (UserError, OSError, ValueError, EOFError, MemoryError, zlib.error, tarfile.TarError) as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[-1]
        raise UserError(
            f"no readable {what} in data_dir={data_dir} and it cannot be downloaded ({reason}): put {layouts}"
        ) from None


def digest(*arrays: Array) -> str:
    """Return the sha256 of the arrays' types, shapes and bytes."""
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(f"{array.dtype}{array.shape}".encode())
        sha256.update(np.ascontiguousarray(array).tobytes())
    return sha256.hexdigest()
