"""Reading `.npz` archives of images in Keras' layout, without trusting them."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irm_sweeps.errors import UserError

Array = npt.NDArray[Any]

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path, keys: Sequence[str] = KEYS) -> dict[str, Array]:
    """Return some of the arrays `KEYS` of an archive; pickled objects inside it are never loaded.

    Raises
    ------
    UserError
        The file is damaged or lacks an array; the message says what to put there.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise UserError(f"{path} lacks the arrays {missing}: it needs {list(KEYS)}, as Keras' {path.name} has")
            return {key: archive[key] for key in keys}
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, or put an intact {path.name} there") from None


def downloaded(load: Callable[[], Any], what: str, data_dir: Path, layouts: str) -> Any:
    """Return `load()`, torchvision's own reading or download of a data set.

    Raises
    ------
    UserError
        It failed, for whatever reason urllib, an archive or the file system gave; the message names `layouts`.
    """
    try:
        return load()
    except Exception as error:  # torchvision raises whatever was raised underneath it
        reason = (str(error).strip().splitlines() or [repr(error)])[-1]  # it begins with every address it tried
        raise UserError(
            f"no readable {what} in data_dir={data_dir} and it cannot be downloaded ({reason}): put {layouts}"
        ) from None


def digest(*arrays: Array) -> str:
    """Return the sha256 of the arrays' types, shapes and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
