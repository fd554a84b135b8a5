"""The conformance suite of all launchers; a new one is added to `LAUNCHERS`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from commands import ROGUE, ROOT, Answer, Desk, eventually

LAUNCHERS = {
    "inprocess": [],
    "local": ["hydra.launcher.slots=2"],
    "slurm": [
        "hydra.launcher.workers=2",
        "hydra.launcher.gpus_per_node=0",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.timeout_min=5",
        "hydra.launcher.wait=true",
    ],
}
"""By name: the overrides that make it fit for a test and follow a sweep to its end."""

Launch = Callable[..., Answer]


def slurm_cluster() -> ModuleType:
    if (folder := str(ROOT / "tests" / "slurm")) not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("cluster")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    made.gate.touch()
    yield made
    made.end()


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slurm] * (name == "slurm")) for name in LAUNCHERS])
def launch(request: pytest.FixtureRequest, desk: Desk) -> Launch:
    """Issue a sweep's command with one of the launchers, and wait for its end."""
    if request.param == "slurm":
        cluster = slurm_cluster()
        if (reason := cluster.available()) is not None:
            pytest.skip(f"no SLURM cluster can be started here: {reason}")
        cluster.start()
    chosen = [f"hydra/launcher={request.param}", *LAUNCHERS[request.param]]

    def issue(*overrides: str) -> Answer:
        return desk.answer(desk.start("-m", f"results={desk.results}", *chosen, *overrides), 240)

    return issue


def test_a_launcher_runs_a_sweep(launch: Launch, desk: Desk) -> None:
    """All results are there, a failing trial harms no other, the exit code tells, the second time nothing runs."""
    grid = [*ROGUE, "method.deed=none,raise", "seed=0,1"]
    first = launch(*grid)
    assert first.code == 1, first
    assert "0 done, 4 to run" in first.out
    assert "2 completed, 2 failed" in first.out
    assert "Traceback" not in first.err
    results = desk.in_store()
    by_deed = {(r["config"]["method"]["deed"], r["config"]["seed"]): r["status"] for r in results.values()}
    expected = {"none": "completed", "raise": "failed"}
    assert by_deed == {(deed, seed): status for deed, status in expected.items() for seed in (0, 1)}
    assert set(desk.times_trained().values()) == {1}
    assert all("completed" in desk.log(i) or "this method has a mistake" in desk.log(i) for i in results)
    assert not list(desk.results.glob("*/claim.*"))
    assert not list(desk.results.glob("*/checkpoint.*"))
    eventually(lambda: not list(desk.results.glob("sweeps/*/workers/*.json")), "the workers have left")

    again = launch(*grid)
    assert again.code == 0, again
    assert "4 done, 0 to run" in again.out
    assert desk.in_store() == results
