"""A trial that hangs is seen, ends its worker, and fails; a worker that hangs can be stopped: real processes."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from commands import ROGUE, Desk, eventually, irm_sweeps, is_running

ENDS_SOON = [
    "-c",
    "import runpy; from irm_sweeps.launchers import worker_pool; worker_pool.STOP_SECONDS = 3.0;"
    "runpy.run_path('launch.py', run_name='__main__')",
]
"""The front door, with less patience."""


def failures(desk: Desk) -> list[dict[str, Any]]:
    return [result["error"] for result in desk.in_store().values() if result["status"] == "failed"]


@pytest.mark.parametrize(("deed", "seeds"), [("hang", [0, 1]), ("hang_in_c", [0])])
def test_a_trial_that_hangs_fails_and_the_others_are_trained(desk: Desk, deed: str, seeds: list[int]) -> None:
    """Where there are two seeds, those of a deed are a stack."""
    desk.gate.touch()
    seed = f"seed={','.join(map(str, seeds))}"
    answer = desk.answer(desk.sweep(*ROGUE, f"method.deed={deed},none", seed, "stall_seconds=3", "stack=2"))
    assert answer.code == 1, answer
    assert f"{len(seeds)} completed, {len(seeds)} failed" in answer.out
    assert len(failures(desk)) == len(seeds)
    for error in failures(desk):
        assert error["kind"] == "crash"
        assert "the worker died 2 times while training this trial (it made no step for" in error["message"]
        assert "stall_seconds" in error["message"]
        assert 'rogue.py", line' in error["details"], "where it hangs"


def test_in_process_a_trial_that_hangs_fails_and_the_same_command_goes_on(desk: Desk) -> None:
    desk.gate.touch()
    command = ["-m", f"results={desk.results}", "hydra/launcher=inprocess", *ROGUE, "stall_seconds=3"]
    first = desk.answer(desk.start(*command, "method.deed=hang,none"))
    assert first.code == 1
    (error,) = failures(desk)
    assert "it made no step for 3 s (stall_seconds=3)" in error["message"]
    assert first.err.splitlines()[-1].startswith("error: trial ")
    (hung,) = (i for i, result in desk.in_store().items() if result["status"] == "failed")
    assert 'rogue.py", line' in desk.log(hung)
    second = desk.answer(desk.start(*command, "method.deed=hang,none"))
    assert second.code == 0, second
    assert sorted(result["status"] for result in desk.in_store().values()) == ["completed", "failed"]


def test_a_worker_that_hangs_before_the_training_ends_too(desk: Desk) -> None:
    """While a user's class is built, say; its claims count as those of a dead worker."""
    desk.gate.touch()
    command = ["-m", f"results={desk.results}", "hydra/launcher=inprocess", *ROGUE, "training.steps=1"]
    assert desk.answer(desk.start(*command, "stall_seconds=3")).code == 0
    (trial_id,) = desk.in_store()
    (desk.results / trial_id / "result.json").unlink()
    (sweep,) = (path.name for path in desk.results.glob("sweeps/*"))
    lines = [
        "import time; from irm_sweeps.launchers.worker_task import WorkerTask",
        "from irm_sweeps.worker import held_trial; held_trial.Trial.from_config = lambda config: time.sleep(3600)",
        f"WorkerTask({str(desk.results)!r}, {sweep!r})()",
    ]
    for deaths in (1, 2):
        answer = desk.answer(desk.start("; ".join(lines), command=["-c"]))
        assert answer.code == 1, answer
        assert "it made no step for 3 s (stall_seconds=3): this worker ends while it builds" in desk.log(trial_id)
        (claim,) = desk.results.glob(f"*/claim.{deaths}.json")
        assert not json.loads(claim.read_text())["released"]
    answer = desk.answer(desk.start("; ".join(lines), command=["-c"]))
    assert answer.code == 1, answer
    result = desk.in_store()[trial_id]
    assert result["status"] == "failed", "the third does not build it again"
    assert "the worker died 2 times while training this trial (it made no step for 3 s" in result["error"]["message"]


def test_the_status_tells_since_when_a_trial_makes_no_step(desk: Desk) -> None:
    """Of the last heartbeat; without `stall_seconds`, nothing ends it."""
    desk.gate.touch()
    command = desk.sweep(*ROGUE, "method.deed=hang", slots=1)
    where = ["--results", str(desk.results)]

    def running() -> Any:
        if not desk.holders():
            return None
        (entry,) = json.loads(irm_sweeps("status", "--json", *where).out)["running"] or [None]
        return entry if entry and entry["seconds_since_step"] is not None else None

    first = eventually(running, "a heartbeat tells")
    assert first["step"] == 3
    assert not first["stalled"]
    eventually(lambda: running()["seconds_since_step"] > first["seconds_since_step"] + 1, "time goes by")
    assert "  last step 0:" in irm_sweeps("status", *where).out
    manifest = next(desk.results.glob("sweeps/*/manifest.json"))
    settings = json.loads(manifest.read_text())
    settings["settings"]["stall_seconds"] = 1  # as if it had been asked for; the worker has read it before
    manifest.write_text(json.dumps(settings))
    assert running()["stalled"]
    assert irm_sweeps("status", *where).out.splitlines()[1].endswith("  stalled")
    assert command.poll() is None


@pytest.mark.parametrize("how", ["patience", "Ctrl-C"])
def test_a_launcher_ends_its_workers_that_hang(desk: Desk, how: str) -> None:
    """After a while, or at a second Ctrl-C at once."""
    desk.gate.touch()
    overrides = ["-m", f"results={desk.results}", *ROGUE, "method.deed=hang", "hydra.launcher.slots=1"]
    command = desk.start(*overrides, command=ENDS_SOON if how == "patience" else ["launch.py"])
    (trial_id, pid) = next(iter(eventually(desk.holders, "a trial runs").items()))
    eventually(lambda: "about to hang" in desk.log(trial_id), "it hangs")
    os.killpg(command.pid, signal.SIGINT)
    stderr = desk.folder / "0.err"
    eventually(lambda: f"processes {pid};" in stderr.read_text(), "it names the worker")
    if how == "Ctrl-C":
        command.send_signal(signal.SIGINT)  # to the worker too, it would interrupt what hangs
    answer = desk.answer(command, 40)
    assert answer.code == 130
    assert f"worker process {pid} " in answer.err
    assert trial_id in answer.err
    assert "Traceback" not in answer.err
    eventually(lambda: not is_running(pid), "the worker has ended", 10)
