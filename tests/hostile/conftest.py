"""Shared fixtures of the attacks: a time limit, and a store of two real trials."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import SMALL

SECONDS = 900
"""Far more than any of these takes on the busiest machine; a reader that waits for a pipe would wait for ever."""

SWEEP = [*SMALL, "method=erm", "seed=0,1"]


def _hangs(signum: int, frame: object) -> None:
    raise TimeoutError(f"still at it after {SECONDS} s")


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def results(trained_store: Path, tmp_path: Path) -> Path:
    """A copy of a store with the results of a sweep of two trials."""
    return Path(shutil.copytree(trained_store, tmp_path / "results"))


@pytest.fixture
def victim(results: Path) -> Path:
    """The file to poison: the first trial's result."""
    return sorted(results.glob("*/result.json"))[0]
