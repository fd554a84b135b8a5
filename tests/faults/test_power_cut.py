"""A sweep cut at each of its file operations: when it is issued again, its results are unaffected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, irm_sweeps, numbers, outcome
from faults.power_cut import EVERY, Cut, dying_at
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep import run

SWEEP = [*SMALL, "training.precision=float64", "training.steps=3", "seed=0,1,2", "stack=2", "checkpoint_seconds=1e-6"]
"""A stack of two and a solo trial, with a checkpoint at every step."""


class Telling(InProcess):
    """Tells the id of each trial whose result has been announced."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def run(self, store: Any, manifest: Any, progress: Any) -> bool:
        announce = progress.add

        def add(result: Result) -> None:
            announce(result)
            self._tell(result.trial_id)

        progress.add = add
        return super().run(store, manifest, progress)


def sweep(results: Path, tell: Callable[[str], None] = lambda word: None) -> int:
    return run.run_sweep([f"results={results}", *SWEEP], Telling(tell))


def in_store(results: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in results.glob("*/result.json")}


@pytest.fixture
def undisturbed(memory: Path, composed_once: None) -> dict[str, dict[str, Any]]:
    """The results of the sweep, by trial id."""
    results = memory / "undisturbed"
    assert sweep(results) == 0
    return in_store(results)


def only_a_damaged_result(results: Path, trial_id: str) -> None:
    """Make a store where the sweep sets one result aside and trains three trials."""
    shutil.rmtree(results, ignore_errors=True)
    (results / trial_id).mkdir(parents=True)
    (results / trial_id / "result.json").write_text('{"schema": 1, "trial_id"')


@pytest.mark.parametrize("cut", list(Cut), ids=lambda cut: cut.name.lower())
def test_a_sweep_cut_short_at_any_file_operation_ends_as_if_nothing_had_happened(
    memory: Path, undisturbed: dict[str, dict[str, Any]], cut: Cut, capsys: pytest.CaptureFixture[str]
) -> None:
    results = memory / "results"
    operation, killed, cuts = 1 + list(Cut).index(cut) % EVERY, True, 0
    while killed:
        only_a_damaged_result(results, min(undisturbed))
        killed, announced = dying_at(operation, cut, lambda tell: sweep(results, tell))
        cuts += killed
        where = f"operation {operation}, {cut.value}"
        kept = {}
        for trial_id in announced:
            assert Store(results).result(trial_id), f"{where}: a result is lost that was announced"
            kept[trial_id] = (results / trial_id / "result.json").read_bytes()
        if list(results.glob("sweeps/*/manifest.json")):
            status = json.loads(irm_sweeps("status", "--json", "--results", str(results)).out)
            assert (status["completed"], status["running"]) == (sum(is_whole(results, i) for i in undisturbed), [])

        assert sweep(results) == 0, where
        found = in_store(results)
        assert found.keys() == undisturbed.keys(), where
        for trial_id, result in found.items():
            assert numbers(result) == pytest.approx(numbers(undisturbed[trial_id]), rel=1e-9), where
            if len(undisturbed[trial_id]["provenance"]["stack"]) == 1:
                assert outcome(result) == outcome(undisturbed[trial_id]), where
            if trial_id in announced:
                assert (results / trial_id / "result.json").read_bytes() == kept[trial_id], f"{where}: trained again"
        names = {path.name for path in results.glob("????????????????/*")}
        assert names == {"result.json", "history.jsonl", "log.txt", "result.damaged.1.json"}, where
        operation += EVERY
    assert cuts > 60 // EVERY, "most operations of a sweep were not seen"
    with capsys.disabled():
        print(f" {cuts} moments", end="")


def is_whole(results: Path, trial_id: str) -> bool:
    try:
        return bool(json.loads((results / trial_id / "result.json").read_text())["trial_id"] == trial_id)
    except (OSError, ValueError):
        return False
