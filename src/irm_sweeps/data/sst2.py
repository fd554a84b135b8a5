"""Read SST-2, the binary task of the Stanford Sentiment Treebank, from GLUE's files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from irm_sweeps.errors import UserError
from irm_sweeps.files.untrusted import MIB, read_regular

URL = "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"
LARGEST = 256 * MIB
"""Maximum size of a file in bytes; GLUE's training sentences have 4 MiB."""


@dataclass(frozen=True)
class Sentences:
    """Sentences as lists of tokens, and their labels `[n]`: 1 for positive, 0 for negative."""

    tokens: list[list[str]]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class SST2:
    """The splits `train` and `dev` of GLUE, whose test labels are not public; `sha256` is of both."""

    train: Sentences
    dev: Sentences
    sha256: str


def load_sst2(data_dir: Path) -> SST2:
    """Return the sentences of `data_dir`/SST-2/train.tsv and dev.tsv, split into tokens at white space.

    Raises
    ------
    UserError
        A file is missing, cannot be read, or has a line that is not in GLUE's format.
    """
    return _load(data_dir.expanduser().resolve())


@lru_cache(maxsize=1)
def _load(data_dir: Path) -> SST2:
    train, dev = (_read(data_dir / "SST-2" / f"{split}.tsv", data_dir) for split in ("train", "dev"))
    digest = hashlib.sha256()
    for split in (train, dev):
        digest.update("\n".join(" ".join(tokens) for tokens in split.tokens).encode())
        digest.update(split.labels.astype("<i8").tobytes())
    return SST2(train, dev, digest.hexdigest())


def _read(path: Path, data_dir: Path) -> Sentences:
    try:
        lines = read_regular(path, LARGEST, follow=True).decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(
            f"no SST-2/{path.name} in data_dir={data_dir}: put GLUE's SST-2/train.tsv and SST-2/dev.tsv there ({URL})"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read ({reason}): put GLUE's file there ({URL})") from None
    header = lines[0].rstrip("\r").split("\t")
    if not {"sentence", "label"} <= set(header):
        raise UserError(f"{path}: its first line is {lines[0][:60]!r}; GLUE's names the columns sentence and label")
    sentence, label = header.index("sentence"), header.index("label")
    tokens, labels = [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header) or fields[label] not in ("0", "1"):
            raise UserError(f"{path}, line {number}: expected {' and '.join(header)} (0 or 1), not {line[:60]!r}")
        tokens.append(fields[sentence].split())
        labels.append(int(fields[label]))
    if not tokens:
        raise UserError(f"{path} has no sentences: put GLUE's file there ({URL})")
    return Sentences(tokens, np.array(labels, np.int64))
