"""A SLURM task and `irm-sweeps work` go on when trials end their worker, here without SLURM: real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from commands import ROGUE, SUPPORT, Answer, Desk, eventually, is_running
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect

TASK = """
import signal, sys
signal.signal(signal.SIGUSR2, lambda signum, frame: print("requeued", flush=True))
from irm_sweeps.launchers.worker_task import WorkerTask
WorkerTask(sys.argv[1], sys.argv[2], threads=1)()
"""


def submit(desk: Desk, *overrides: str) -> Manifest:
    """Write the manifest of a sweep of solo trials."""
    store = Store(desk.results)
    store.prepare()
    given = [f"results={store.root}", *ROGUE[:-1], *overrides]
    trials, settings, _ = collect(given)
    run = RunSettings(
        data_dir="", device="cpu", on_error="continue", checkpoint_seconds=0.2, stall_seconds=settings.stall_seconds
    )
    return write_manifest(store, "sweep", {i: t.canonical for i, t in trials.items()}, [[i] for i in trials], run)


def task(desk: Desk, manifest: Manifest) -> subprocess.Popen[str]:
    """Start the one task of a job."""
    slurm = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "9", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
    environment = {**os.environ, **slurm, "PYTHONPATH": str(SUPPORT), "GATE": str(desk.gate)}
    command = [sys.executable, "-c", TASK, str(desk.results), manifest.name]
    with (desk.folder / "out").open("w") as out, (desk.folder / "err").open("w") as err:
        started = subprocess.Popen(command, env=environment, stdout=out, stderr=err, text=True, start_new_session=True)
    desk.started.append(started)
    return started


def answer(desk: Desk, process: subprocess.Popen[str]) -> Answer:
    code = process.wait(300)
    return Answer(code, (desk.folder / "out").read_text(), (desk.folder / "err").read_text())


def test_a_task_trains_the_healthy_trials_however_many_end_its_worker(desk: Desk) -> None:
    """More than there are tasks: by a signal, at once with exit code 0, by a stall, or with the GPU lost."""
    bad = ["kill", "exit_at_once", "exit_with_3", "hang", "lose"]
    manifest = submit(desk, f"+method.deed={','.join([*bad, 'raise', 'none'])}", "stall_seconds=5")
    desk.gate.touch()
    ended = answer(desk, task(desk, manifest))
    assert ended.code == 1, ended
    found = {result["config"]["method"]["deed"]: result for result in desk.in_store().values()}
    assert found.pop("none")["status"] == "completed"
    assert found.pop("raise")["error"]["kind"] == "exception"
    assert {deed: result["error"]["kind"] for deed, result in found.items()} == dict.fromkeys(bad, "crash")
    assert "a successor begins" in ended.err
    assert not list(desk.results.glob("*/claim.*"))


def test_work_that_is_typed_goes_on_as_a_task_does(desk: Desk) -> None:
    manifest = submit(desk, "+method.deed=exit_with_3,raise,none")
    desk.gate.touch()
    words = ["work", manifest.name, "--trust", "--results", str(desk.results)]
    ended = desk.answer(desk.start(*words, command=["-m", "irm_sweeps"]))
    assert ended.code == 1, ended
    found = {result["config"]["method"]["deed"]: result["status"] for result in desk.in_store().values()}
    assert found == {"exit_with_3": "failed", "raise": "failed", "none": "completed"}
    assert "the worker has died (exit code 3): a successor begins" in ended.err
    assert not list(desk.results.glob("*/claim.*"))


def test_a_task_whose_worker_has_failed_trials_and_died_exits_with_1(desk: Desk) -> None:
    """Though its successor, which ends the sweep, has seen none fail."""
    manifest = submit(desk, "+method.deed=raise,none")
    process = task(desk, manifest)

    def at_the_other() -> list[int]:
        return [pid for trial_id, pid in desk.holders().items() if len(desk.in_store()) == 1 and not failed(trial_id)]

    def failed(trial_id: str) -> bool:
        return trial_id in desk.in_store()

    (worker,) = eventually(at_the_other, "one has failed, and the other is trained")
    os.kill(worker, signal.SIGKILL)
    desk.gate.touch()
    assert answer(desk, process).code == 1
    assert sorted(result["status"] for result in desk.in_store().values()) == ["completed", "failed"]


@pytest.mark.parametrize("signum", [signal.SIGUSR2, signal.SIGTERM])
def test_a_task_that_is_asked_to_stop_has_no_successor(desk: Desk, signum: signal.Signals) -> None:
    """Its worker saves and has the job requeued where SLURM asked for that."""
    process = task(desk, submit(desk, "+method.deed=none"))
    ((trial_id, worker),) = eventually(desk.holders, "it trains").items()
    process.send_signal(signum)
    ended = answer(desk, process)
    assert ended.code == 143, ended
    assert ended.out == ("requeued\n" if signum == signal.SIGUSR2 else "")
    assert not is_running(worker)
    assert (desk.results / trial_id / "checkpoint.safetensors").exists()
    assert "successor" not in ended.err


def test_a_worker_that_dies_before_it_works_has_three_successors(desk: Desk) -> None:
    (desk.folder / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    manifest = submit(desk, "+method.deed=none")
    code = TASK.replace("import signal, sys", f"import signal, sys; sys.path.insert(0, {str(desk.folder)!r})")
    environment = {**os.environ, "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "9", "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, "-c", code, str(desk.results), manifest.name]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 137
    assert ended.stderr.count("a successor begins") == 3
