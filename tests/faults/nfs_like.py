"""Simulate an NFS client's cached view of a store in one process.

Names, including missing ones, and times are cached for `TTL` seconds, unless this process changes the folder. An opened
file is fresh, or permanently stale (ESTALE) if it has been replaced. Links, renames and exclusive creation are atomic
on the server. Locks are refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irm_sweeps.files import reading

TTL = 2.0


class Client:
    """The cache; `install` puts it between this process and what lies below `root`."""

    def __init__(self, root: str, seed: int) -> None:
        self._root = os.path.abspath(root)
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}
        self._rng = random.Random(seed)
        self._stale: set[Path] = set()

    def install(self) -> None:
        for name in ("stat", "listdir"):
            setattr(os, name, self._looking(name, getattr(os, name)))
        for name in ("link", "replace", "unlink", "mkdir"):
            setattr(os, name, self._changing(getattr(os, name)))
        fcntl.flock = fcntl.lockf = _no_locks
        reading.read_regular = self._reading(reading.read_regular)

    def _below(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(os.fspath(path)).startswith(self._root)

    def _looking(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def look(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            if not self._below(path):
                return real(path, *arguments, **options)
            key = (name, os.path.abspath(os.fspath(path)))
            at, answer = self._kept.get(key, (0.0, None))
            if time.monotonic() > at:
                try:
                    answer = real(path, *arguments, **options)
                except OSError as error:
                    answer = error
                self._kept[key] = (time.monotonic() + self._rng.uniform(0, TTL), answer)
            if isinstance(answer, OSError):
                raise answer
            return list(answer) if isinstance(answer, list) else answer

        return look

    def _changing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*paths: Any, **options: Any) -> Any:
            folders = {os.path.dirname(os.path.abspath(os.fspath(path))) for path in paths if self._below(path)}
            try:
                return real(*paths, **options)
            finally:
                for key in list(self._kept):
                    if key[1] in folders or os.path.dirname(key[1]) in folders:
                        del self._kept[key]

        return change

    def _reading(self, real: Callable[[Path, int], bytes]) -> Callable[[Path, int], bytes]:
        def read(path: Path, at_most: int) -> bytes:
            if self._below(path) and path not in self._stale and self._rng.random() < 0.2:
                self._stale.add(path)
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            self._stale.discard(path)
            return real(path, at_most)

        return read


def _no_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
