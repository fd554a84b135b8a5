"""MNIST in the files that its authors publish (torchvision's `MNIST/raw`), downloaded where absent."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irm_sweeps.files.atomic import replacing
from irm_sweeps.files.downloads import Published
from irm_sweeps.files.untrusted import MIB, read_regular

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
LARGEST = 64 * MIB
"""Most bytes of a file; MNIST's training images have 45 MiB."""
BYTES = 8
"""The code of unsigned bytes in a header."""


def _published(name: str, size: int, sha256: str) -> Published:
    return Published(name, [f"{mirror}{name}" for mirror in MIRRORS], size, sha256)


FILES = {
    "train": (
        _published(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        _published(
            "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
    ),
    "test": (
        _published(
            "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        _published(
            "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
}
"""Images and labels of each split."""


def load_split(data_dir: Path, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images `[n, rows, columns]` and digits `[n]`.

    Raises
    ------
    UserError
        A file is not there and cannot be downloaded.
    OSError, ValueError
        A file cannot be read, or is not what its header says.
    """
    raw = data_dir / "MNIST" / "raw"
    found = []
    for dimensions, published in zip((3, 1), FILES[split], strict=True):
        path = raw / published.name.removesuffix(".gz")
        if not path.exists():
            _decompress(published.fetch(raw), path)
        found.append(read_idx(path, dimensions))
    return found[0], found[1]


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Return the unsigned bytes of an idx file.

    Raises
    ------
    OSError, ValueError
        It cannot be read, is of another type or number of dimensions, or not as long as its header says.
    """
    content = read_regular(path, LARGEST, follow=True)
    header = 4 * (1 + dimensions)
    if len(content) < header or content[:4] != bytes([0, 0, BYTES, dimensions]):
        raise ValueError(f"{path}: no idx file of {dimensions}-dimensional bytes")
    shape = [int(size) for size in np.frombuffer(content[4:header], ">u4")]
    if math.prod(shape) != len(content) - header:
        raise ValueError(f"{path}: its header says {shape}, and {len(content) - header} bytes follow")
    array: npt.NDArray[Any] = np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
    return array


def _decompress(archive: Path, path: Path) -> None:
    """Unpack a file whole or not at all.

    Raises
    ------
    ValueError
        It has more than `LARGEST` bytes, and so is none of MNIST's.
    """
    with gzip.open(archive) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{archive}: larger than {LARGEST // MIB} MiB unpacked")
    with replacing(path) as target:
        target.write(content)
