"""A worker of a SLURM job whose trial hangs at the time limit: the job is requeued and the other trials are trained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands import SMALL, FakeCommand, eventually, launch
from irm_sweeps.launchers.hung_worker import StopDeadline
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store

HANGING = """
import ctypes, os, time
from pathlib import Path
from irm_sweeps.methods.irmv1 import IRMv1

def in_python():
    while True:
        time.sleep(0.1)

def in_a_library():  # where Python's signal handlers do not run
    mutex = ctypes.create_string_buffer(64)
    while True:
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

class Hanging(IRMv1):
    def penalty(self, at, features, logits, risks):
        if at.step == 2:
            Path(os.environ["HANGS"]).touch()
            in_PLACE()
        return super().penalty(at, features, logits, risks)
"""


@pytest.fixture(params=["python", "a_library"])
def own_methods(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "hanging.py").write_text(HANGING.replace("PLACE", request.param))
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a run of job 7's only task, as srun does."""
    started = []

    def run(folder: Path, **variables: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment |= {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "7", "OMP_NUM_THREADS": "1", **variables}
        command = [sys.executable, "-u", "-m", "submitit.core._submit", str(folder)]
        with open(tmp_path / f"run.{len(started)}", "w") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_the_job_goes_on_and_the_trial_that_hangs_is_given_up(
    tmp_path: Path, own_methods: Path, fake: FakeCommand, start: Callable[..., subprocess.Popen[str]]
) -> None:
    fake("srun")
    fake("sbatch", "Submitted batch job 7\n")
    requeues = fake("scontrol", "ClusterName = lab\n")
    store, hangs = Store(tmp_path / "results"), tmp_path / "hangs"
    launch(
        "-m",
        "hydra/launcher=slurm",
        "hydra.launcher.workers=1",
        "hydra.launcher.gpus_per_node=0",
        "hydra.launcher.signal_delay_s=3",
        *[word for word in SMALL if not word.startswith(("method", "training.steps"))],
        "method=irmv1",
        "method._target_=hanging.Hanging,irm_sweeps.methods.irmv1.IRMv1",
        "training.steps=4",
        f"results={store.root}",
    )
    (jobs,) = store.root.glob("sweeps/*/jobs")
    for restart in range(2):
        run = start(jobs, HANGS=str(hangs), SLURM_RESTART_COUNT=str(restart))
        _await_hang(hangs, run)
        run.send_signal(signal.SIGUSR2)
        assert run.wait(60) == 143, (tmp_path / f"run.{restart}").read_text()
        told = (tmp_path / f"run.{restart}").read_text()
        assert "hangs: it did not stop within 2 s of SLURM's signal" in told
        assert requeues.read_text().splitlines().count("requeue 7") == restart + 1
        hangs.unlink()
    assert [result.status for result in results(store)] == ["completed"], "the trial behind it"

    assert start(jobs, HANGS=str(hangs), SLURM_RESTART_COUNT="2").wait(120) == 1
    assert not hangs.exists()
    assert sorted(result.status for result in results(store)) == ["completed", "failed"]
    (log,) = [log for log in logs(store) if log.count("no step ended within 2 s of SLURM's signal") == 2]
    assert " in in_" in log, "where it hangs"


def _await_hang(hangs: Path, run: subprocess.Popen[str]) -> None:
    eventually(lambda: hangs.exists() or run.poll() is not None, "the trial hangs")
    assert run.poll() is None, (hangs.parent / "run.0").read_text()


def logs(store: Store) -> list[str]:
    return [path.read_text() for path in store.root.glob("*/log.txt")]


def results(store: Store) -> list[Result]:
    return [result for trial_id in store.trial_ids() if (result := store.result(trial_id))]


def test_a_worker_that_stops_in_time_ends_by_itself() -> None:
    script = (
        "import os, signal, time\nfrom irm_sweeps.launchers.hung_worker import StopDeadline\n"
        "signal.signal(signal.SIGUSR2, lambda *_: None)\n"
        "deadline = StopDeadline(0.6, lambda: print('requeued', flush=True), 143)\ndeadline.watch()\n"
        "os.kill(os.getpid(), signal.SIGUSR2)\nSTOP\ntime.sleep(1.5)\nprint('ended', deadline.seconds_left())\n"
    )
    for stop, code, printed in (("deadline.stopped()", 0, "ended 0.0\n"), ("", 143, "requeued\n")):
        words = [sys.executable, "-c", script.replace("STOP", stop)]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout) == (code, printed), ended.stderr


def test_jobs_submitted_earlier_have_a_deadline_too() -> None:
    assert StopDeadline(None, lambda: None, 0).seconds_left() == pytest.approx(60)
