"""A worker that ended early: `irm-sweeps status` and `failures` show the reason from its log."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from commands import ROGUE, SMALL, Desk, eventually, irm_sweeps, launch
from irm_sweeps.launchers.worker_logs import complaints_of_ended_workers
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.liveness import Process
from irm_sweeps.store.manifest import read_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names
from irm_sweeps.worker.registry import registered

SRUN = "srun: error: n1: task 0: Exited with exit code"
OUT_OF_MEMORY = (
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0. Some of your processes may have been killed"
)
CUDA = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"
ASYNCHRONOUS = "CUDA kernel errors might be asynchronously reported.\nFor debugging consider CUDA_LAUNCH_BLOCKING=1"
ABORTED = "/var/spool/slurm_script: line 9: 77 Aborted (core dumped) srun --unbuffered"
OF_ONES_OWN = 'my error/two_bits.py:1: UserWarning: the default recipe\n  warnings.warn("two_bits: the default recipe")'
OF_CODE = "mine.py:3: FutureWarning: error bars will change\n  raise_error(denied=no_such)\nthe default is kept"
WARNING = "torch/cuda.py:9: UserWarning: this GPU is old\n  warnings.warn(message)"


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a launched sweep, whose one trial is open."""
    results = tmp_path_factory.mktemp("launched")
    launch("-m", f"results={results}", *SMALL, "seed=0")
    (result,) = results.glob("*/result.json")
    result.unlink()
    return results


@pytest.fixture
def jobs(launched: Path, tmp_path: Path) -> Path:
    """The folder of logs of that sweep, in a copy of the store."""
    shutil.copytree(launched, tmp_path, dirs_exist_ok=True)
    (name,) = sweep_names(Store(tmp_path))
    folder = tmp_path / "sweeps" / name / "jobs"
    folder.mkdir(exist_ok=True)
    return folder


def words(jobs: Path) -> dict[str, list[str]]:
    store = Store(jobs.parents[2])
    return complaints_of_ended_workers(store, read_manifest(store, jobs.parent.name))


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (f"error: device=cuda: CUDA does not start\n{SRUN} 2\n", "error: device=cuda: CUDA does not start"),
        (f"/var/job: line 9: module: command not found\n{SRUN} 127\n", "/var/job: line 9: module: command not found"),
        (
            "Traceback:\n  import mine\nModuleNotFoundError: No module named 'mine'\n",
            "ModuleNotFoundError: No module named 'mine'",
        ),
        (f"{WARNING}\n{OUT_OF_MEMORY}\nsrun: error: n1: task 0: Out Of Memory\n", OUT_OF_MEMORY),
        ("srun: error: n1: task 0: Killed\n", "srun: error: n1: task 0: Killed"),
        ("error: \x1b[2J\n", "error: \\x1b[2J"),
        (f"Traceback:\n{CUDA}\n{ASYNCHRONOUS}\n{SRUN} 1\n", CUDA),
        (f"{WARNING}\n{ABORTED}\n", ABORTED),
        ("Fatal Python error: Segmentation fault\n\nCurrent thread:\n", "Fatal Python error: Segmentation fault"),
    ],
)
def test_the_reason_is_told(jobs: Path, log: str, said: str) -> None:
    (jobs / "7_0_0_log.err").write_text(log)
    assert words(jobs) == {said: [f"sweeps/{jobs.parent.name}/jobs/7_0_0_log.err"]}


@pytest.mark.parametrize("log", ["", WARNING, OF_ONES_OWN, OF_CODE, f"{SRUN} 1\n", f"{SRUN} 143\n"])
def test_a_worker_that_ended_as_it_should_says_nothing(jobs: Path, log: str) -> None:
    (jobs / "7_0_0_log.err").write_text(log)
    assert words(jobs) == {}


def test_those_of_an_earlier_launch_are_past(jobs: Path) -> None:
    log = jobs / "7_0_0_log.err"
    log.write_text("error: the disk is full\n")
    os.utime(log, (1, 1))
    assert words(jobs) == {}


def test_a_log_with_a_name_that_no_worker_gives_is_none(jobs: Path) -> None:
    (jobs / "x\x1b[31mRED\x1b]0;title\a_log.err").write_text("error: boom\n")
    (jobs / "7_0_0_log.err").write_text("error: boom\n")
    told = irm_sweeps("failures", "--results", str(jobs.parents[2])).out
    assert "\x1b" not in told
    assert told.endswith(f"1 worker ended early: error: boom\n    logs: sweeps/{jobs.parent.name}/jobs/7_0_0_log.err\n")


def test_who_is_at_work_has_not_ended(desk: Desk) -> None:
    """A worker's log complains of something; the worker goes on, until it and its launcher are killed."""
    pool = desk.sweep(*ROGUE, "seed=0", slots=1)
    (worker,) = eventually(desk.workers, "a worker")
    eventually(desk.holders, "a claim")
    (log,) = desk.results.glob("sweeps/*/jobs/*_log.err")
    log.write_text("error: this disk is slow\n")
    assert irm_sweeps("status", "--json", "--results", str(desk.results)).out.count("slow") == 0
    for pid in (pool.pid, worker):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not desk.workers(), "it is dead")
    assert "ended    1 worker: error: this disk is slow" in irm_sweeps("status", "--results", str(desk.results)).out


def test_one_task_of_a_job_may_have_ended_while_another_lives(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task in range(2):
        (jobs / f"7_3_{task}_log.err").write_text(f"error: of task {task}\n")
    in_job(monkeypatch)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    store = Store(jobs.parents[2])
    with registered(store, read_manifest(store, jobs.parent.name), None):
        assert set(words(jobs)) == {"error: of task 0"}
    assert len(words(jobs)) == 2


def in_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "9", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3", "PROCID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


def test_a_local_pool_within_a_job_has_logs_of_its_own_names(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_job(monkeypatch)
    (jobs / f"{os.getppid()}_0_log.err").write_text("error: this disk is slow\n")
    store = Store(jobs.parents[2])
    with registered(store, read_manifest(store, jobs.parent.name), None):
        assert words(jobs) == {}


@pytest.mark.parametrize("released", [False, True])
def test_who_is_on_another_machine_lives_while_its_claim_does(jobs: Path, released: bool) -> None:
    """Of a worker that was killed there, the registry keeps the entry."""
    (jobs / "7_0_0_log.err").write_text("error: of node7\n")
    elsewhere = Process("node7", "another machine", 1, 1, "7_0", 0)
    entry = {"process": elsewhere.as_json(), "starter": 1, "gpu": None, "log": "7_0_0_log.err"}
    (jobs.parent / "workers").mkdir(exist_ok=True)
    (jobs.parent / "workers" / "a.json").write_text(json.dumps(entry))
    store = Store(jobs.parents[2])
    manifest = read_manifest(store, jobs.parent.name)
    (trial_id,) = manifest.trials
    path = store.folder(trial_id) / "claim.1.json"
    path.write_bytes(Claim(path, 1, elsewhere, manifest.launch, 0, 0.0, released=released).content())
    told = json.loads(irm_sweeps("status", "--json", "--results", str(store.root)).out)
    assert (len(told["running"]), list(told["ended"])) == ((0, ["error: of node7"]) if released else (1, []))


def test_commands_tell_it_until_the_sweep_is_done(jobs: Path) -> None:
    results = str(jobs.parents[2])
    for task in range(3):
        (jobs / f"7_{task}_0_log.err").write_text("error: the disk is full\n")
    status = irm_sweeps("status", "--results", results).out
    assert f"ended    3 workers: error: the disk is full  (sweeps/{jobs.parent.name}/jobs/7_0_0_log.err, ...)" in status
    assert json.loads(irm_sweeps("status", "--json", "--results", results).out)["ended"] == words(jobs)
    assert "3 workers ended early: error: the disk is full\n" in irm_sweeps("failures", "--results", results).out

    launch("-m", "hydra/launcher=inprocess", f"results={results}", *SMALL, "seed=0")
    assert "ended" not in irm_sweeps("status", "--results", results).out
