"""Read the GloVe word vectors (Pennington et al. 2014) of given words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from irm_sweeps.errors import UserError
from irm_sweeps.files.untrusted import open_regular

URL = "https://nlp.stanford.edu/data/glove.6B.zip"
LONGEST = 2**16
"""Limit on the length of a line in bytes; lines of 300 dimensions have about 3,000."""


@dataclass(frozen=True)
class Vectors:
    """Word vectors.

    Attributes
    ----------
    rows
        The row of each known word in `matrix`.
    matrix
        `[known words, dim]`.
    sha256
        Hash of these words and vectors, not of the whole file.
    """

    rows: dict[str, int]
    matrix: npt.NDArray[np.float32]
    sha256: str


def load_vectors(data_dir: Path, dim: int, words: Collection[str]) -> Vectors:
    """Return the vectors of `words` in `data_dir`/glove.6B.<dim>d.txt; words that are not in it are left out.

    Raises
    ------
    UserError
        The file is missing, or a line is not a word followed by `dim` numbers.
    """
    path = data_dir.expanduser().resolve() / f"glove.6B.{dim}d.txt"
    wanted = set(words)
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    try:
        with open_regular(path, follow=True) as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST), b""), start=1):
                if len(line) == LONGEST:
                    raise UserError(
                        f"{path}, line {number} has {LONGEST} bytes or more: put GloVe's file there ({URL})"
                    )
                word, _, rest = line.decode().partition(" ")
                if word in wanted and word not in vectors:
                    vectors[word] = _vector(rest, dim, f"{path}, line {number}")
    except FileNotFoundError:
        raise UserError(_missing(path, dim)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read ({reason}): put GloVe's file there ({URL})") from None
    known = sorted(vectors)
    matrix = np.stack([vectors[word] for word in known]) if known else np.empty((0, dim), np.float32)
    digest = hashlib.sha256("\n".join(known).encode() + matrix.astype("<f4").tobytes()).hexdigest()
    return Vectors({word: row for row, word in enumerate(known)}, matrix, digest)


def _vector(text: str, dim: int, place: str) -> npt.NDArray[np.float32]:
    try:
        vector = np.array(text.split(), np.float32)
    except ValueError:
        vector = np.empty(0, np.float32)
    if vector.shape != (dim,) or not np.isfinite(vector).all():
        raise UserError(f"{place}: expected a word and {dim} numbers: put GloVe's file there ({URL})")
    return vector


def _missing(path: Path, dim: int) -> str:
    """Return the message for a missing file, which suggests another dimension whose file exists."""
    matches = [re.fullmatch(r"glove\.6B\.(\d+)d\.txt", other.name) for other in path.parent.glob("glove.6B.*d.txt")]
    dims = sorted(int(match[1]) for match in matches if match)
    instead = f", or use dataset.glove_dim={dims[-1]}: glove.6B.{dims[-1]}d.txt is there" if dims else ""
    return f"no {path.name} in data_dir={path.parent}: put GloVe's {dim}-dimensional vectors there ({URL}){instead}"
