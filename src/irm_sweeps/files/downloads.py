"""Files from the network: whole and with the bytes that were published, or not there at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from irm_sweeps.errors import UserError

SECONDS = 60.0
"""How long a server may be silent."""
BLOCK = 2**20


@dataclass(frozen=True)
class Published:
    """A file as it was published.

    Attributes
    ----------
    urls
        Where it can be had, in the order of asking.
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
            No address gives these bytes; the message says what each gave instead.
        """
        path = folder / self.name
        told = []
        if path.is_file():
            if self._is_in(path):
                return path
            told.append(f"{path} has other bytes than those published")
        for url in self.urls:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._download(url, path)
            except (OSError, ValueError) as error:  # urllib's errors are of these kinds
                told.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
            else:
                return path
        raise UserError("; ".join(told))

    def _is_in(self, path: Path) -> bool:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == self.size and (
                hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
            )

    def _download(self, url: str, path: Path) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer, temporary.open("xb") as file:
                found = self._copy(answer, file)
            if found != self.sha256:
                raise ValueError(f"its sha256 is {found}, not {self.sha256}")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _copy(self, answer: BinaryIO, file: BinaryIO) -> str:
        """Copy the published number of bytes and no more; return their sha256."""
        digest, left = hashlib.sha256(), self.size
        while block := answer.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise ValueError(f"it has more than {self.size} bytes")
            digest.update(block)
            file.write(block)
        if left:
            raise ValueError(f"it ended {left} bytes early")
        return digest.hexdigest()
