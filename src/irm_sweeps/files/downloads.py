"""Downloading published files: each arrives whole and with the published bytes, or not at all."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from irm_sweeps.errors import UserError
from irm_sweeps.files.atomic import replacing
from irm_sweeps.redaction import redacted

SECONDS = 60.0
"""How long a server may be silent."""
BLOCK = 2**20
"""Bytes read at a time."""


@dataclass(frozen=True)
class Published:
    """A file as it was published.

    Attributes
    ----------
    urls
        Where it can be downloaded, in the order to try.
    size
        Bytes.
    """

    name: str
    urls: Sequence[str]
    size: int
    sha256: str

    def fetch(self, folder: Path) -> Path:
        """Return the file in `folder`, downloaded unless its bytes are there.

        Raises
        ------
        UserError
            No URL gives these bytes; the message names what each gave instead.
        """
        path = folder / self.name
        failures = []
        if path.is_file():
            if self._matches(path):
                return path
            failures.append(f"{path} has other bytes than those published")
        for url in self.urls:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._download(url, path)
            except (OSError, ValueError) as error:  # urllib's errors are of these kinds
                failures.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
            else:
                return path
        raise UserError(redacted("; ".join(failures)))

    def _matches(self, path: Path) -> bool:
        """Return whether a file has the published bytes."""
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == self.size and (
                hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
            )

    def _download(self, url: str, path: Path) -> None:
        with urllib.request.urlopen(url, timeout=SECONDS) as response, replacing(path) as file:
            sha256 = self._copy(response, file)
            if sha256 != self.sha256:
                raise ValueError(f"its sha256 is {sha256}, not {self.sha256}")

    def _copy(self, response: BinaryIO, file: BinaryIO) -> str:
        """Copy the published number of bytes and no more; return their sha256."""
        digest, remaining = hashlib.sha256(), self.size
        while block := response.read(BLOCK):
            remaining -= len(block)
            if remaining < 0:
                raise ValueError(f"it has more than {self.size} bytes")
            digest.update(block)
            file.write(block)
        if remaining:
            raise ValueError(f"it ended {remaining} bytes early")
        return digest.hexdigest()
