"""What submitit starts: where it imports from, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store

FIRST_TASK = """
import sys
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.worker import registry
living = [["the second"], ["the second"], []]
registry.siblings = lambda store, manifest: living.pop(0)
WorkerTask._work = lambda *arguments: int(sys.argv[3])
try:
    WorkerTask(sys.argv[1], sys.argv[2])()
except SystemExit as end:
    assert end.code == int(sys.argv[3])
assert living == []
"""


STOPPED = """
import os, signal, sys
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.worker.exceptions import Interrupted
signal.signal(signal.SIGUSR2, lambda signum, frame: print("requeued"))
def work(task, store, manifest, gpu, stop_requested):
    os.kill(os.getpid(), int(sys.argv[3]))
    assert stop_requested.wait(10)
    raise Interrupted
WorkerTask._work = work
WorkerTask(sys.argv[1], sys.argv[2])()
"""


@pytest.fixture
def sweep(tmp_path: Path) -> list[str]:
    """The store and the name of a sweep without trials."""
    store = Store(tmp_path / "results")
    store.prepare()
    settings = RunSettings(data_dir="data", device="cpu", on_error="continue", checkpoint_seconds=30)
    return [str(store.root), write_manifest(store, "sweep", {}, [], settings).name]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_task_that_requeues_its_job_waits_for_the_others_however_it_ends(sweep: list[str], code: int) -> None:
    """All is done, its GPU is lost, its device does not start."""
    environment = {**os.environ, "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "9"}
    subprocess.run([sys.executable, "-c", FIRST_TASK, *sweep, str(code)], env=environment, check=True, timeout=120)


@pytest.mark.parametrize(("signum", "printed"), [(signal.SIGUSR2, "requeued\n"), (signal.SIGTERM, "")])
def test_a_stopped_task_has_its_job_requeued_where_slurm_asked_for_that(
    sweep: list[str], signum: signal.Signals, printed: str
) -> None:
    command = [sys.executable, "-c", STOPPED, *sweep, str(int(signum))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (143, printed), ended.stderr


def test_a_worker_imports_from_where_its_launcher_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path) in WorkerTask("results", "sweep").folders


POOLS = """
import multiprocessing
from irm_sweeps.launchers.worker_task import StopSignals
stop = StopSignals()
for _ in range(30):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
print("done", stop.requested.is_set())
"""


def test_a_pool_that_a_trial_forks_can_be_terminated() -> None:
    ended = subprocess.run([sys.executable, "-c", POOLS], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "done False\n", ended.stderr
