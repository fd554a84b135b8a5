"""A sweep is a set: issuing it again runs the missing trials only, and loses no result."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from commands import ROGUE, SMALL, Answer, Desk, irm_sweeps, launch, outcomes
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.plan import make_plan
from irm_sweeps.sweep.prepare import prepare


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def sweep(desk: Desk, *overrides: str) -> Answer:
    return launch("-m", f"results={desk.results}", *overrides)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_what_is_missing_runs(desk: Desk, tmp_path: Path) -> None:
    grid = ["method=irmv1,vrex", "lam=1,100"]
    first = sweep(desk, *SMALL, *grid)
    assert first.code == 0
    assert "0 done, 4 to run" in first.out
    assert "4 completed in" in first.out
    before = tree(desk.results)

    assert "4 done, 0 to run" in sweep(desk, *SMALL, *grid).out
    assert tree(desk.results) == before

    more = sweep(desk, *SMALL, "method=irmv1,vrex", "lam=1,100,3")
    assert "4 done, 2 to run" in more.out
    assert set(desk.times_trained().values()) == {1}

    shutil.move(desk.results, tmp_path / "moved")
    moved = launch("-m", f"results={tmp_path / 'moved'}", "data_dir=/elsewhere", "stack=3", *SMALL, *grid)
    assert "4 done, 0 to run" in moved.out


def test_a_trial_alone_and_in_a_sweep_is_the_same_trial(desk: Desk) -> None:
    alone = launch(f"results={desk.results}", *SMALL, "seed=3")
    assert alone.code == 0
    assert "completed" in alone.out
    assert "1 done, 1 to run" in sweep(desk, *SMALL, "seed=3,4").out
    again = launch(f"results={desk.results}", *SMALL, "seed=4")
    assert "done before: " in again.out


def test_a_plan_changes_nothing(desk: Desk) -> None:
    assert "0 done, 2 to run" in sweep(desk, *SMALL, "seed=0,1", "plan=true").out
    assert not desk.results.exists()
    assert "0 done, 1 to run" in launch(f"results={desk.results}", *SMALL, "plan=true").out
    assert not desk.results.exists()


def test_a_stack_gives_the_results_of_its_trials_alone(desk: Desk, tmp_path: Path) -> None:
    grid = [*SMALL, "training.precision=float64", "method=vrex", "lam=1,10", "seed=0,1"]
    assert sweep(desk, *grid, "stack=4").code == 0
    alone = Desk(tmp_path / "alone")
    assert sweep(alone, *grid, "stack=1").code == 0
    sizes = [{r["timing"]["stack_size"] for r in d.in_store().values()} for d in (desk, alone)]
    assert sizes == [{4}, {1}]
    for trial_id, result in alone.in_store().items():
        stacked = desk.in_store()[trial_id]["metrics"]["last"]["scores"]["test"]["0.9"]
        expected = result["metrics"]["last"]["scores"]["test"]["0.9"]
        assert stacked == pytest.approx(expected, abs=1e-9)


def test_a_trial_that_diverges_ends_alone(desk: Desk) -> None:
    answer = sweep(desk, *SMALL, "optimizer=sgd", "optimizer.lr=0.1,1e38", "stack=2")
    assert answer.code == 0, "divergence is an answer, not a failure"
    assert "1 completed, 1 diverged" in answer.out
    by_status = {result["status"]: result for result in desk.in_store().values()}
    assert by_status["diverged"]["metrics"] == {}
    assert by_status["diverged"]["diverged_at"] > 0
    shown = irm_sweeps("show", by_status["diverged"]["trial_id"], "--results", str(desk.results))
    assert f"diverged at step {by_status['diverged']['diverged_at']}" in shown.out


def test_a_trial_that_raises_ends_alone_with_its_log(desk: Desk) -> None:
    answer = sweep(desk, *ROGUE, "method.deed=none,raise", "seed=0,1", "stack=2")
    assert answer.code == 1
    assert "2 completed, 2 failed" in answer.out
    failed = {i: r for i, r in desk.in_store().items() if r["status"] == "failed"}
    for trial_id, result in failed.items():
        assert result["error"]["kind"] == "exception"
        assert result["error"]["message"] == "RuntimeError: this method has a mistake"
        assert "rogue.py" in result["error"]["details"]
        assert "RuntimeError: this method has a mistake" in desk.log(trial_id)
    assert not list(desk.results.glob("*/claim.*"))

    where = ["--results", str(desk.results)]
    text = irm_sweeps("failures", *where).out
    assert text.startswith("2 x RuntimeError: this method has a mistake\n")
    assert all(trial_id in text for trial_id in failed)
    status = json.loads(irm_sweeps("status", "--json", *where).out)
    assert (status["completed"], status["failed"], status["to_do"]) == (2, 2, 0)
    assert "Traceback" in irm_sweeps("logs", next(iter(failed)), *where).out


def test_what_failed_runs_again_only_when_asked(desk: Desk) -> None:
    grid = [*ROGUE, "method.deed=none,raise"]
    assert sweep(desk, *grid).code == 1
    assert "2 done, 0 to run" in sweep(desk, *grid).out
    again = sweep(desk, *grid, "rerun=failed")
    assert "1 done, 1 to run" in again.out
    assert again.code == 1
    everything = sweep(desk, *grid, "rerun=all")
    assert "0 done, 2 to run" in everything.out
    kept = sorted(path.name for path in desk.results.glob("*/result.*.json"))
    assert kept == ["result.completed.1.json", "result.failed.1.json", "result.failed.2.json"]
    assert len(desk.in_store()) == 2


def test_a_failure_can_end_the_sweep(desk: Desk) -> None:
    grid = [*ROGUE, "seed=0,1", "method.deed=none,raise,none"]
    stopped = sweep(desk, *ROGUE, "seed=0,1", "method.deed=raise,none", "on_error=stop")
    assert stopped.code == 1
    assert [r["status"] for r in desk.in_store().values()] == ["failed"]
    on = sweep(desk, *grid)
    assert "1 done, 3 to run" in on.out


def test_every_trial_has_what_native_code_prints_in_its_own_log(desk: Desk) -> None:
    from irm_sweeps.store.trial_log import TrialLog

    folder = desk.folder / "0123456789abcdef"
    log = TrialLog([folder])
    with log.capture():
        os.write(1, b"from native code\n")
    log.write("done")
    text = (folder / "log.txt").read_text()
    assert text.startswith("from native code\n")
    assert text.endswith("done\n")


@pytest.mark.parametrize("damage", ["cut short", "foreign"])
def test_a_checkpoint_that_cannot_be_trusted_is_not_used(desk: Desk, damage: str) -> None:
    assert sweep(desk, *SMALL, "seed=0,1").code == 0
    undisturbed = outcomes(desk.in_store())
    trial_id, other = sorted(undisturbed)
    for path in desk.results.glob("*/result.json"):
        path.unlink()
    from irm_sweeps.training.checkpoint import pack

    content = pack(other, {}, {"step": 3, "seconds": 1.0, "history": [], "evaluations": []})
    (desk.results / trial_id / "checkpoint.safetensors").write_bytes(content[:9] if damage == "cut short" else content)
    assert sweep(desk, *SMALL, "seed=0,1").code == 0
    assert outcomes(desk.in_store()) == undisturbed
    assert "is damaged" in desk.log(trial_id)
    assert "the trial starts from its beginning" in desk.log(trial_id)


def test_a_disk_that_fills_up_leaves_what_is_finished(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweep(desk, *SMALL, "seed=0").code == 0
    before = tree(desk.results)
    real, calls = os.fsync, iter(range(1000))

    def until_full(fd: int) -> None:
        if next(calls) >= 3:
            raise OSError(28, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", until_full)
    answer = sweep(desk, *SMALL, "seed=0,1,2")
    assert "No space left on device" in answer.complaint
    monkeypatch.undo()
    assert {name: content for name, content in tree(desk.results).items() if name in before} == before


@pytest.mark.parametrize("rerun", ["failed", "missing"])
def test_what_another_launch_has_made_again_since_the_plan_is_not_set_aside(
    rerun: str, trained_store: Path, tmp_path: Path
) -> None:
    """Two commands at once: the second one plans before the first has finished, which makes a failure of a crash."""
    store = Store(Path(shutil.copytree(trained_store, tmp_path / "results")))
    trials, settings, label = collect([*SMALL, "seed=0,1", f"results={store.root}", f"rerun={rerun}"])
    finished, waiting = trials

    def fail(trial_id: str, **error: str) -> None:
        path = store.folder(trial_id) / RESULT
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "status": "failed", "metrics": {}, "error": error}))

    for trial_id in trials:
        fail(trial_id, message="killed", kind="crash")
    plan = make_plan(store, trials, settings)
    assert plan.retire == dict.fromkeys(trials, "failed")
    if rerun == "failed":
        shutil.copy(trained_store / finished / RESULT, store.folder(finished) / RESULT)
    else:
        fail(finished, message="a mistake of its own")

    prepare(store, plan, settings, InProcess(), label)
    assert store.has_result(finished)
    assert not store.has_result(waiting)
    assert [path.name for path in store.root.glob("*/result.failed.*")] == ["result.failed.1.json"]
