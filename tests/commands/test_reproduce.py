"""`irm-sweeps reproduce`: identical results, or a report of the differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import SMALL, irm_sweeps, launch
from irm_sweeps.commands.comparison import Comparison, compare
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store

Edit = Callable[[Callable[[dict[str, Any]], None]], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one completed trial and a stack of three."""
    results = tmp_path_factory.mktemp("made") / "results"
    stack = ["method=irmv1", "lam=5", "seed=range(0,3)", "stack=3"]
    assert launch("-m", f"results={results}", *SMALL, "seed=7").code == 0
    assert launch("-m", f"results={results}", *SMALL, *stack).code == 0
    return results


def in_store(root: Path) -> Iterator[dict[str, Any]]:
    return (dict(result.raw) for result in Store(root).results() if isinstance(result, Result))


def compared(then: dict[str, Any], now: dict[str, Any]) -> Comparison:
    return compare(Result.from_values(then), Result.from_values(now))


@pytest.fixture
def solo(made: Path) -> dict[str, Any]:
    return next(r for r in in_store(made) if r["config"]["seed"] == 7)


@pytest.fixture
def copy(made: Path, solo: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """A store with the solo trial's result, edited."""

    def write(**values: Any) -> Path:
        root = tmp_path / "copied"
        store = Store(root)
        store.prepare()
        store.write_result({**solo, **values}, [])
        return root

    return write


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    yield
    torch.set_num_threads(1)


def test_a_solo_trial_is_the_same_bits_again(made: Path, solo: dict[str, Any]) -> None:
    answer = irm_sweeps("reproduce", solo["trial_id"][:8], "--results", str(made))
    assert answer.code == 0, answer
    assert "equal: the parameters and all" in answer.out
    assert "although" not in answer.out
    assert f"trial {solo['trial_id']}  erm seed=7  on cpu, 1 thread:" in answer.out


def test_a_stacked_trial_is_trained_with_its_stack(made: Path) -> None:
    stacked = [r for r in in_store(made) if r["config"]["lam"] == 5]
    assert len(stacked) == 3
    assert all(r["provenance"]["stack"] == stacked[0]["provenance"]["stack"] for r in stacked)
    answer = irm_sweeps("reproduce", stacked[1]["trial_id"], "--results", str(made))
    assert answer.code == 0, answer
    assert "in a stack of 3" in answer.out


def test_a_stack_that_is_not_whole_any_more_is_named(made: Path, tmp_path: Path) -> None:
    stacked = next(r for r in in_store(made) if r["config"]["lam"] == 5)
    alone = Store(tmp_path / "alone")
    alone.prepare()
    alone.write_result(stacked, [])
    answer = irm_sweeps("reproduce", stacked["trial_id"], "--results", str(alone.root))
    assert "stack size: 3 then, 1 now" in answer.out


def test_what_differs_is_said_with_its_size(copy: Callable[..., Path], solo: dict[str, Any]) -> None:
    metrics = json.loads(json.dumps(solo["metrics"]))
    metrics["last"]["scores"]["test"]["0.9"]["accuracy"] += 0.25
    provenance = json.loads(json.dumps(solo["provenance"]))
    provenance["software"]["torch"] = "1.0"
    provenance["parameters_sha256"] = "f" * 64
    root = copy(metrics=metrics, provenance=provenance)
    answer = irm_sweeps("reproduce", solo["trial_id"], "--results", str(root))
    assert answer.code == 1
    assert "1 of" in answer.out
    assert "by up to 0.25" in answer.out
    assert "last:test/0.9/accuracy" in answer.out
    assert "(-0.25)" in answer.out
    assert f"parameters_sha256 ({'f' * 12} then" in answer.out
    assert f"torch: 1.0 then, {torch.__version__.partition('+')[0]}" in answer.out
    assert "commit" not in answer.out


def test_the_recorded_number_of_threads_is_used(copy: Callable[..., Path], solo: dict[str, Any]) -> None:
    provenance = json.loads(json.dumps(solo["provenance"]))
    provenance["hardware"]["threads"] = 2
    root = copy(provenance=provenance)
    answer = irm_sweeps("reproduce", solo["trial_id"], "--results", str(root))
    assert torch.get_num_threads() == 2
    assert "2 threads" in answer.out
    assert "threads: 2 then" not in answer.out


def test_nothing_is_written_to_the_store(made: Path, solo: dict[str, Any]) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*"))
    irm_sweeps("reproduce", solo["trial_id"], "--results", str(made))
    assert sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*")) == before


def test_a_result_of_another_version_is_refused(copy: Callable[..., Path], solo: dict[str, Any]) -> None:
    config = {**solo["config"], "seed": 8}
    answer = irm_sweeps("reproduce", solo["trial_id"], "--results", str(copy(config=config)))
    assert "this version reads the config" in answer.complaint


def test_a_failed_trial_has_nothing_to_compare(copy: Callable[..., Path], solo: dict[str, Any]) -> None:
    error = {"kind": "exception", "message": "no", "details": ""}
    root = copy(status="failed", error=error, metrics={})
    assert "rerun=failed runs it again" in irm_sweeps("reproduce", solo["trial_id"], "--results", str(root)).complaint


def test_a_device_that_is_not_here_is_refused(made: Path, solo: dict[str, Any]) -> None:
    answer = irm_sweeps("reproduce", solo["trial_id"], "--results", str(made), "--device", "abacus")
    assert "device=abacus" in answer.complaint


def test_a_run_that_fails_the_second_time_differs(solo: dict[str, Any]) -> None:
    error = {"kind": "exception", "message": "out of luck", "details": ""}
    failed = {**solo, "status": "failed", "error": error, "metrics": {}, "steps": None}
    found = compared(solo, failed)
    assert not found.equal
    assert "out of luck" in found.text()
    assert "no number" in found.text()


def test_facts_that_were_not_written_down_are_not_called_different(solo: dict[str, Any]) -> None:
    older = json.loads(json.dumps(solo))
    del older["provenance"]["hardware"]["instructions"]
    del older["provenance"]["stack"]
    assert compared(older, solo).circumstances == []
    assert compared(older, solo).equal
