"""Downloading published files: each arrives whole and with the published bytes, or not at all."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
import urllib.request
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from irm_sweeps.errors import UserError
from irm_sweeps.files.atomic import replacing
from irm_sweeps.redaction import redacted

SECONDS = 60.0
"""How long a server may be silent."""
SLOWEST = 2**15
"""Least bytes a second, on average: a file may take `SECONDS` and its size divided by this."""
BLOCK = 2**20
"""Most bytes read at a time."""
_AHEAD = 8
"""Most blocks that are read before they are needed."""


@dataclass(frozen=True)
class PublishedFile:
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
        try:
            if path.is_file():
                if self._matches(path):
                    return path
                failures.append(f"{path} has other bytes than those published")
        except OSError as error:
            failures.append(f"{path} cannot be read: {error.strerror or error}")
        for url in self.urls:
            try:
                with _made(folder):
                    self._download(url, path)
            except (OSError, ValueError, HTTPException) as error:  # urllib's errors are of these kinds
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
        deadline = time.monotonic() + SECONDS + self.size / SLOWEST
        with closing(_blocks(url, deadline)) as blocks, replacing(path) as file:
            sha256 = self._copy(blocks, file)
            if sha256 != self.sha256:
                raise ValueError(f"its sha256 is {sha256}, not {self.sha256}")

    def _copy(self, blocks: Iterable[bytes], file: BinaryIO) -> str:
        """Copy the published number of bytes and no more; return their sha256."""
        digest, remaining = hashlib.sha256(), self.size
        for block in blocks:
            remaining -= len(block)
            if remaining < 0:
                raise ValueError(f"it has more than {self.size} bytes")
            digest.update(block)
            file.write(block)
        if remaining:
            raise ValueError(f"it ended {remaining} bytes early")
        return digest.hexdigest()


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it for the block; if the block raises, remove those that are empty again."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):  # another process has put a file there
            for path in new:
                path.rmdir()
        raise


def _blocks(url: str, deadline: float) -> Generator[bytes, None, None]:
    """Yield what a server sends, until it ends.

    It is asked in a thread, because neither a name server nor one that sends a line a byte at a time can be
    interrupted. A thread that comes too late ends by itself.

    Parameters
    ----------
    deadline
        By the monotonic clock.

    Raises
    ------
    OSError, ValueError, HTTPException
        The server does not answer, or not until the deadline.
    """
    arrived: queue.Queue[bytes | Exception] = queue.Queue(_AHEAD)
    abandoned = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as response:
                while not abandoned.is_set() and (block := response.read1(BLOCK)):
                    arrived.put(block)
            arrived.put(b"")
        except Exception as error:
            arrived.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        while block := arrived.get(timeout=max(0.0, deadline - time.monotonic())):
            if isinstance(block, Exception):
                raise block
            yield block
    except queue.Empty:
        raise TimeoutError("too slow: its time was up before all of it had arrived") from None
    finally:
        abandoned.set()
        while not arrived.empty():  # so that the thread finds room for what it has, and ends
            arrived.get_nowait()
