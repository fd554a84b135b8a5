"""Whether a process counts as alive: its pid tells where it can be looked up, elsewhere SLURM and the heartbeat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import FakeCommand
from irm_sweeps import slurm
from irm_sweeps.store import liveness
from irm_sweeps.store.liveness import (
    HEARTBEAT_SECONDS,
    STALE_SECONDS,
    Process,
    is_here,
    slurm_says_dead,
    this_process,
)


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
        (MISSED, "", "slurm_load_jobs error: Invalid job id specified", True),  # another cluster's, perhaps
        (STALE_SECONDS + 1, "", "slurm_load_jobs error: Invalid job id specified", False),
        (MISSED, "", "", True),  # hidden by PrivateData, perhaps
        (STALE_SECONDS + 1, "", "", False),
        (MISSED, "STAGE_OUT", "", True),
        (MISSED, "a line of another form|", "", True),
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


# -- what SLURM says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
        *("REVOKED", "TIMEOUT", "CANCELLED by 0", "CANCELLED+", "TIMEOUT  ", "CLUSTER: big\nFAILED", "FAILED\nTIMEOUT"),
    ],
)
def test_a_job_in_one_of_these_states_has_ended(fake: FakeCommand, state: str) -> None:
    fake("squeue", f"{state}\n")
    assert slurm_says_dead("12_3")


@pytest.mark.parametrize(
    "answer",
    [
        *("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STOPPED", "REQUEUED", "REQUEUE_HOLD"),
        *("REQUEUE_FED", "RESIZING", "RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "SOMETHING_NEW"),
        *("", "\n", "CLUSTER: big\n", "FAILED\nRUNNING", "failed", "COMPLETED|7", "NOT FAILED", "COMPLET+", "F"),
    ],
)
def test_any_other_answer_is_no_proof_that_a_job_has_ended(fake: FakeCommand, answer: str) -> None:
    fake("squeue", answer)
    assert not slurm_says_dead("12_3")


def test_another_clusters_job_of_the_same_id_says_nothing(
    tmp_path: Path, fake: FakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("squeue", "CANCELLED")
    on_big = Process("node7", "another machine", 1234, 1, "12_3", 0, cluster="big")
    assert on_big.is_alive(heartbeat(tmp_path, MISSED)), "which cluster is asked is unknown"
    fake("scontrol", "ClusterName             = small\n")
    assert on_big.is_alive(heartbeat(tmp_path, MISSED))
    fake("scontrol", "ClusterName             = big\n")
    assert not on_big.is_alive(heartbeat(tmp_path, MISSED))
    monkeypatch.setenv("SLURM_JOB_ID", "12_3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "small")
    assert on_big.is_alive(heartbeat(tmp_path, MISSED)), "no earlier run of this job"


def test_files_of_earlier_versions_name_no_cluster() -> None:
    values = Process("node7", "another machine", 1234, 1, "12_3", 0, cluster="big").as_json()
    assert Process.from_json(values).cluster == "big"
    del values["cluster"]
    assert Process.from_json(values) == Process("node7", "another machine", 1234, 1, "12_3", 0)


# -- where no pid can be looked up -------------------------------------------------------------------


@pytest.fixture
def asked_afresh() -> Iterator[None]:
    liveness._identity.cache_clear()
    yield
    liveness._identity.cache_clear()


def without(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process see no file of /proc whose path contains one of these."""
    read, readlink = Path.read_text, os.readlink

    def hidden(path: object) -> bool:
        return str(path).startswith("/proc/") and any(name in str(path) for name in names.split(","))

    def read_text(path: Path, *arguments: object, **options: object) -> str:
        if hidden(path):
            raise FileNotFoundError(path)
        return read(path, *arguments, **options)  # type: ignore[arg-type]

    def link(path: str) -> str:
        if hidden(path):
            raise PermissionError(path)
        return readlink(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(os, "readlink", link)


@pytest.mark.parametrize("names", ["/", "boot_id", "ns/pid", "stat"])
def test_without_the_files_of_proc_the_heartbeat_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_afresh: None, names: str
) -> None:
    without(names, monkeypatch)
    me = this_process()
    assert me.is_alive(tmp_path / "no file is looked at")
    command = [sys.executable, "-c", "import json; from irm_sweeps.store.liveness import this_process as p\n"]
    command[2] += "print(json.dumps(p().as_json()))"
    other = Process.from_json(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    same_words = Process(me.host, me.machine.partition("/")[0], me.pid, me.started, None, 0)
    for process in (other, same_words):
        assert not is_here(process)
        assert process.is_alive(heartbeat(tmp_path, 1))
        assert process.is_alive(heartbeat(tmp_path, MISSED))
        assert process.may_be_dead(heartbeat(tmp_path, MISSED))
        assert not process.is_alive(heartbeat(tmp_path, STALE_SECONDS + 1))


IN_A_CONTAINER = """
import sys
from pathlib import Path
from irm_sweeps.store.liveness import Process, is_here, this_process
import json
me = this_process()
outside = Process.from_json(json.loads(sys.argv[1]))
assert me.machine.startswith("unknown/"), me
assert me.is_alive(Path("no file is looked at"))
assert not is_here(outside)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a pid namespace")
def test_with_the_proc_of_an_outer_namespace_no_pid_is_looked_up() -> None:
    command = ["unshare", "--pid", "--fork", sys.executable, "-c", IN_A_CONTAINER, json.dumps(this_process().as_json())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "Operation not permitted" in done.stderr:
        pytest.skip("no pid namespace can be made here")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("error", [PermissionError, OSError(24, "Too many open files"), OSError(5, "I/O error")])
def test_a_pid_that_cannot_be_looked_up_is_not_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """With `hidepid=1` /proc refuses to show other users' processes; a process may have no file descriptor left."""
    other = Process(this_process().host, this_process().machine, 1, 7, None, 0)
    assert not other.is_alive(heartbeat(tmp_path, 1)), "pid 1 did not start then"
    monkeypatch.setattr(liveness, "_start_time", lambda pid: (_ for _ in ()).throw(error))
    assert other.is_alive(heartbeat(tmp_path, MISSED))
    assert other.may_be_dead(heartbeat(tmp_path, MISSED))
    assert not other.is_alive(heartbeat(tmp_path, STALE_SECONDS + 1))
