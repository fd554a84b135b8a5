"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import synthetic_store
from commands import Desk, FakeCommand, trained_store
from irm_sweeps.sweep.paper import Paper, load_paper
from irm_sweeps.testing.fixtures import gpu, make_trial, make_trial_of, training
from order import pytest_collection_modifyitems, pytest_xdist_auto_num_workers
from untouched import untouched

__all__ = [
    "gpu",
    "make_trial",
    "make_trial_of",
    "pytest_collection_modifyitems",
    "pytest_xdist_auto_num_workers",
    "trained_store",
    "training",
    "untouched",
]

# As `irm_sweeps.testing.fixtures` sets it for this process: threads that share a tiny tensor wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def composed_once() -> Iterator[None]:
    """In a module that asks for it, Hydra composes no config that this process has composed before."""
    with synthetic_store.composed_once():
        yield


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A store, and commands at work on it in processes of their own, all ended with the test."""
    made = Desk(tmp_path)
    yield made
    made.end()


@pytest.fixture
def unpriced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans start no process that measures a few steps: their prices are not known."""
    monkeypatch.setattr("irm_sweeps.sweep.probe.ALL_SECONDS", -1.0)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommand:
    """Put a command of SLURM's on PATH that notes its arguments and answers as told; none other is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, stdout: str = "", stderr: str = "", code: int = 0) -> Path:
        calls = tmp_path / f"{name}.calls"
        script = folder / name
        script.write_text(
            f"#!{sys.executable} -S\nimport sys\n"
            f"open({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
            f"sys.stdout.write({stdout!r}); sys.stderr.write({stderr!r}); sys.exit({code})\n"
        )
        script.chmod(0o755)
        return calls

    return make


@pytest.fixture(scope="module")
def demo(composed_once: None) -> Paper:
    return load_paper("demo")


@pytest.fixture(scope="module")
def bae(composed_once: None) -> Paper:
    return load_paper("bae2021_table1")
