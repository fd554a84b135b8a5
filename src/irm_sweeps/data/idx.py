"""Read MNIST from its authors' idx files, in torchvision's folder `MNIST/raw`; download missing files."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irm_sweeps.files.atomic import replacing
from irm_sweeps.files.downloads import PublishedFile
from irm_sweeps.files.untrusted import MIB, read_regular

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
LARGEST = 64 * MIB
"""Maximum size of a file in bytes; MNIST's training images have 45 MiB."""
BYTES = 8
"""The header's code for elements that are unsigned bytes."""


def _published(name: str, size: int, sha256: str) -> PublishedFile:
    return PublishedFile(name, [f"{mirror}{name}" for mirror in MIRRORS], size, sha256)


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
"""split -> the published files of its images and of its labels."""


def load_split(data_dir: Path, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the images `[n, rows, columns]` and the digits `[n]` of a split, `train` or `test`.

    Raises
    ------
    UserError
        A file is missing and cannot be downloaded.
    OSError, ValueError
        A file cannot be read, or does not match its header.
    """
    raw = data_dir / "MNIST" / "raw"
    arrays = []
    for dimensions, published in zip((3, 1), FILES[split], strict=True):
        path = raw / published.name.removesuffix(".gz")
        if not path.exists():
            _decompress(published.fetch(raw), path)
        arrays.append(read_idx(path, dimensions))
    return arrays[0], arrays[1]


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Return the array of unsigned bytes in an idx file.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, has another type or number of dimensions, or not the length given by its header.
    """
    content = read_regular(path, LARGEST, follow=True)
    header = 4 * (1 + dimensions)
    if len(content) < header or content[:4] != bytes([0, 0, BYTES, dimensions]):
        raise ValueError(f"{path}: not an idx file of {dimensions}-dimensional bytes")
    shape = [int(size) for size in np.frombuffer(content[4:header], ">u4")]
    if math.prod(shape) != len(content) - header:
        raise ValueError(f"{path}: its header says {shape}, and {len(content) - header} bytes follow")
    array: npt.NDArray[Any] = np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
    return array


def _decompress(archive: Path, path: Path) -> None:
    """Decompress a file atomically.

    Raises
    ------
    ValueError
        It has more than `LARGEST` bytes, so it is not one of MNIST's.
    """
    with gzip.open(archive) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{archive}: larger than {LARGEST // MIB} MiB unpacked")
    with replacing(path) as target:
        target.write(content)
