"""Fixtures for the fault tests."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from irm_sweeps.sweep import run

collect = functools.cache(lambda overrides, collect=run.collect: collect(list(overrides)))


@pytest.fixture
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Hydra compose a sweep once however often it is issued in this process: that is not what these tests test."""

    def collected(overrides: list[str]) -> Any:
        return collect(tuple(overrides))

    monkeypatch.setattr(run, "collect", collected)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: what counts is which fsyncs are made, not that they take their time."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        yield Path(name)
