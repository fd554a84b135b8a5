"""Whether a process on another machine counts as alive: SLURM and the heartbeat tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands import FakeCommand
from irm_sweeps import slurm
from irm_sweeps.store.liveness import HEARTBEAT_SECONDS, STALE_SECONDS, Process, this_process


@pytest.fixture
def elsewhere() -> Process:
    return Process("node7", "another machine", 1234, 1, "12_3", 0)


def heartbeat(tmp_path: Path, age: float) -> Path:
    path = tmp_path / "claim.1.json"
    path.touch()
    touched = path.stat().st_mtime - age
    os.utime(path, (touched, touched))
    return path


MISSED = 4 * HEARTBEAT_SECONDS


@pytest.mark.parametrize(
    ("age", "answer", "error", "alive"),
    [
        (1, "", "slurm_load_jobs error: Invalid job id specified", True),  # it beats: SLURM is wrong
        (MISSED, "RUNNING", "", True),
        (MISSED, "PENDING", "", True),
        (MISSED, "CANCELLED", "", False),
        (MISSED, "NODE_FAIL", "", False),
        (MISSED, "", "slurm_load_jobs error: Invalid job id specified", False),
        (MISSED, "", "slurm_load_jobs error: Unable to contact slurm controller", True),
        (STALE_SECONDS + 1, "RUNNING", "", False),
    ],
)
def test_slurm_and_the_heartbeat_tell_who_lives(
    tmp_path: Path, fake: FakeCommand, elsewhere: Process, age: float, answer: str, error: str, alive: bool
) -> None:
    fake("squeue", answer, error, code=1 if error else 0)
    assert elsewhere.is_alive(heartbeat(tmp_path, age)) == alive


def test_an_earlier_run_of_ones_own_job_is_dead_once_silent(
    tmp_path: Path, fake: FakeCommand, elsewhere: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("squeue", "RUNNING")
    for name, value in {"JOB_ID": "15", "ARRAY_JOB_ID": "12", "ARRAY_TASK_ID": "3", "RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert (this_process().job, this_process().restarts) == ("12_3", 1)
    assert elsewhere.is_alive(heartbeat(tmp_path, 1))
    assert elsewhere.may_be_dead(heartbeat(tmp_path, 1))
    assert not elsewhere.is_alive(heartbeat(tmp_path, MISSED))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert elsewhere.is_alive(heartbeat(tmp_path, MISSED))
    assert not elsewhere.may_be_dead(heartbeat(tmp_path, 1))


def test_slurm_is_not_asked_about_a_beating_heart(tmp_path: Path, fake: FakeCommand, elsewhere: Process) -> None:
    calls = fake("squeue", "RUNNING")
    assert elsewhere.is_alive(heartbeat(tmp_path, 1))
    assert not calls.exists()
    assert not slurm.has_ended("12_3")
    assert calls.exists()
