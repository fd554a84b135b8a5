"""`hydra/launcher=local` with real processes and signals: each trial runs exactly once, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from commands import ROGUE, TRAINED, Desk, eventually, irm_sweeps, is_running, launch, outcomes
from irm_sweeps.launchers.local import Local
from irm_sweeps.launchers.worker_pool import Slot
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.plan import make_plan

IRM_SWEEPS = str(Path(sys.executable).with_name("irm-sweeps"))
SLOW = [*ROGUE, "training.steps=60", "checkpoint_seconds=0.3"]
"""Trials of six seconds until the gate opens."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Outcomes of the slow trials with seeds 0 to 3, trained in one process without a break."""
    results = tmp_path_factory.mktemp("undisturbed")
    assert launch("-m", f"results={results}", *SLOW, "seed=range(0,4)").code == 0
    return outcomes({path.parent.name: json.loads(path.read_text()) for path in results.glob("*/result.json")})


def checkpointed(desk: Desk) -> dict[str, int]:
    """The workers whose trials have a checkpoint."""
    return {i: pid for i, pid in desk.holders().items() if (desk.results / i / "checkpoint.safetensors").exists()}


def resumed_at(desk: Desk, trial_id: str) -> int:
    lines = [line for line in desk.log(trial_id).splitlines() if "resumed at step " in line]
    return int(lines[-1].rpartition(" ")[2]) if lines else 0


def left_over(desk: Desk) -> list[str]:
    """What should be gone from the folders of finished trials."""
    wanted = {"result.json", "history.jsonl", "log.txt"}
    return [path.name for path in desk.results.glob("????????????????/*") if path.name not in wanted]


def pickles(desk: Desk) -> list[str]:
    """What submitit writes for a worker to read, and after it."""
    return [path.name for path in desk.results.glob("sweeps/*/jobs/*.pkl")]


def test_a_killed_worker_is_replaced_and_its_trial_goes_on(desk: Desk, undisturbed: dict[str, dict[str, Any]]) -> None:
    command = desk.sweep(*SLOW, "seed=range(0,4)", slots=1)
    trial_id, pid = next(iter(eventually(lambda: checkpointed(desk), "a checkpoint").items()))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: desk.holders().get(trial_id, pid) != pid, "another worker has the trial")
    eventually(lambda: resumed_at(desk, trial_id), "it goes on from the checkpoint")
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 0, answer
    assert outcomes(desk.in_store()) == undisturbed
    assert desk.times_trained()[trial_id] == 2
    assert left_over(desk) == []
    eventually(lambda: not pickles(desk), "the last worker has ended, and submitit's files are gone")


def test_workers_outlive_their_launcher_and_the_next_one_joins_them(
    desk: Desk, undisturbed: dict[str, dict[str, Any]]
) -> None:
    first = desk.sweep(*SLOW, "seed=range(0,4)")
    eventually(lambda: len(desk.holders()) == 2, "two trials run")
    first.kill()
    first.wait()
    before = desk.holders()
    assert len(before) == 2, "the workers go on"
    second = desk.sweep(*SLOW, "seed=range(0,4)")
    eventually(lambda: (desk.folder / "1.out").read_text().count("workers"), "the second launcher has begun")
    assert "of them running elsewhere" in (desk.folder / "1.out").read_text()
    desk.gate.touch()
    answer = desk.answer(second)
    assert answer.code == 0, answer
    assert outcomes(desk.in_store()) == undisturbed
    assert set(desk.times_trained().values()) == {1}
    assert len(list(desk.results.glob("sweeps/*/jobs/*_log.out"))) == 2, "the second started no worker"
    eventually(lambda: not pickles(desk), "workers tidy up")


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_an_interrupted_sweep_stops_cleanly_and_goes_on_where_it_was(
    desk: Desk, undisturbed: dict[str, dict[str, Any]], how: str
) -> None:
    slots = 2 if how == "Ctrl-C" else 1
    command = desk.sweep(*SLOW, "seed=range(0,4)", slots=slots)
    eventually(lambda: len(checkpointed(desk)) == slots, "checkpoints")
    if how == "Ctrl-C":
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    else:
        command.terminate()
    answer = desk.answer(command)
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in answer.err
    assert desk.workers() == []
    eventually(lambda: not pickles(desk), "the last worker has ended, and submitit's files are gone")
    assert list(desk.results.glob("*/result.json")) == []
    saved = [path.parent.name for path in desk.results.glob("*/checkpoint.safetensors")]
    assert len(saved) == slots
    where = ["--results", str(desk.results)]
    assert json.loads(irm_sweeps("status", "--json", *where).out)["to_do"] == 4

    desk.gate.touch()
    again = launch("-m", f"results={desk.results}", *SLOW, "seed=range(0,4)")
    assert again.code == 0, again
    assert outcomes(desk.in_store()) == undisturbed
    assert all(resumed_at(desk, trial_id) > 0 for trial_id in saved)


def test_two_launchers_at_once_train_nothing_twice(desk: Desk, undisturbed: dict[str, dict[str, Any]]) -> None:
    desk.gate.touch()
    both = [desk.sweep(*SLOW, "seed=range(0,4)", slots=1) for _ in range(2)]
    for command in both:
        answer = desk.answer(command)
        assert answer.code == 0, answer
    assert outcomes(desk.in_store()) == undisturbed
    assert set(desk.times_trained().values()) == {1}


@pytest.mark.parametrize("deed", ["kill", "lose"])
def test_a_trial_that_kills_its_worker_is_retried_once_and_harms_no_other(desk: Desk, deed: str) -> None:
    """By a signal, or by losing its GPU."""
    desk.gate.touch()
    own = [*ROGUE, f"method.deed=none,{deed}", "seed=0,1", "stack=2"]
    answer = desk.answer(desk.sweep(*own, slots=1))
    assert answer.code == 1
    by_status: dict[str, list[str]] = {"completed": [], "failed": []}
    for trial_id, result in desk.in_store().items():
        by_status[result["status"]].append(trial_id)
    assert [len(ids) for ids in by_status.values()] == [2, 2]
    for trial_id in by_status["failed"]:
        error = desk.in_store()[trial_id]["error"]
        assert error["kind"] == "crash"
        assert "the worker died 2 times" in error["message"]
        assert TRAINED in error["details"], "the last lines of its log"
        assert desk.times_trained()[trial_id] == 2

    trials, settings, _ = collect([f"results={desk.results}", *own])
    again = make_plan(Store(desk.results), trials, settings)
    assert sorted(again.to_run) == sorted(by_status["failed"]), "issuing the command again tries them again"


def test_one_that_joins_helps_and_leaves(desk: Desk, undisturbed: dict[str, dict[str, Any]]) -> None:
    command = desk.sweep(*SLOW, "seed=range(0,4)", slots=1)
    eventually(lambda: len(desk.holders()) == 1, "one trial runs")
    joined = desk.start("work", "sweep", "--trust", "--results", str(desk.results), command=[IRM_SWEEPS])
    eventually(lambda: len(desk.holders()) == 2, "two trials run")
    status = json.loads(irm_sweeps("status", "--json", "--results", str(desk.results)).out)
    assert len(status["running"]) == 2
    joined.send_signal(signal.SIGINT)
    assert desk.answer(joined).code == 143
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 0, answer
    assert outcomes(desk.in_store()) == undisturbed


def test_results_removed_while_a_sweep_runs(desk: Desk) -> None:
    command = desk.sweep(*SLOW, "seed=range(0,4)", slots=1)
    holders = eventually(desk.holders, "a trial runs")
    while desk.results.exists():  # a worker may write into a folder that is just being removed
        with suppress(OSError):
            shutil.rmtree(desk.results)
    answer = desk.answer(command)
    assert answer.code == 2
    error = answer.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert str(desk.results) in error
    assert "Traceback" not in answer.err
    eventually(lambda: not any(is_running(pid) for pid in holders.values()), "the workers have stopped")
    assert not desk.results.exists(), "what the user removed does not come back"


def test_workers_that_cannot_start_are_not_started_for_ever(desk: Desk) -> None:
    """As where a library is missing, or memory is gone."""
    (desk.folder / "torch.py").write_text("import sys\nsys.exit('no torch on this machine')\n")
    front_door = (
        f"import os, runpy, torch; os.environ['PYTHONPATH'] = {str(desk.folder)!r};"
        "runpy.run_path('launch.py', run_name='__main__')"
    )
    command = desk.start("-m", f"results={desk.results}", *ROGUE, "hydra.launcher.slots=2", command=["-c", front_door])
    answer = desk.answer(command)
    assert answer.code == 2, answer
    assert answer.err.endswith("workers end before they start to work; last message: no torch on this machine\n")
    assert desk.in_store() == {}


def test_a_device_that_does_not_start_costs_its_slot_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of two seconds, so that the other worker has time to fail."""
    slots = [Slot("", 1), Slot("99", 1)]
    monkeypatch.setenv("GATE", str(tmp_path / "closed"))
    monkeypatch.setattr(Local, "slots", lambda self, device: slots)
    command = ["-m", "hydra/launcher=local", f"results={tmp_path}", *ROGUE, "device=auto", "seed=range(0,3)"]
    answer = launch(*command)
    assert answer.code == 0, answer
    assert answer.err.count("a worker cannot start: device=cuda: CUDA does not start") == 1
    assert len(list(tmp_path.glob("*/result.json"))) == 3

    del slots[0]
    again = launch(*command, "seed=range(3,5)")
    assert again.code == 2
    assert again.err.splitlines()[-1].startswith("error: device=cuda: CUDA does not start")
    assert len(list(tmp_path.glob("*/result.json"))) == 3
