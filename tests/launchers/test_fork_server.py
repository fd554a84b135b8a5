"""The process that forks the CPU workers of a local pool: whichever process is killed, the sweep ends as it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from commands import ROGUE, SMALL, Desk, eventually, is_running
from irm_sweeps.launchers import fork_server
from irm_sweeps.launchers.local_jobs import ForkServer, Jobs, ServerGone
from irm_sweeps.launchers.process_tree import descendants
from irm_sweeps.launchers.worker_task import WorkerTask

SLOW = [*ROGUE, "training.steps=60", "checkpoint_seconds=0.3", "seed=range(0,4)"]

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="workers are forked on Linux only")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def at_work(desk: Desk) -> dict[str, int]:
    return holders if len(holders := desk.holders()) == 2 else {}


@pytest.mark.parametrize("victim", ["server", "watcher"])
def test_its_death_costs_no_worker(desk: Desk, victim: str) -> None:
    command = desk.sweep(*SLOW)
    workers = list(eventually(lambda: at_work(desk), "two trials run").values())
    watchers = [parent(pid) for pid in workers]
    (server,) = {parent(pid) for pid in watchers}
    assert parent(server) == command.pid
    os.kill(server if victim == "server" else watchers[0], signal.SIGKILL)
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 0, answer
    assert {result["status"] for result in desk.in_store().values()} == {"completed"}
    assert set(desk.times_trained().values()) == {1}
    eventually(lambda: not any(map(is_running, [server, *watchers, *workers])), "no process is left")


def test_a_worker_that_dies_after_it_is_replaced(desk: Desk) -> None:
    command = desk.sweep(*SLOW)
    trial_id, worker = next(iter(eventually(lambda: at_work(desk), "two trials run").items()))
    os.kill(parent(parent(worker)), signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: desk.holders().get(trial_id, worker) != worker, "another worker has the trial")
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 0, answer
    assert len(desk.in_store()) == 4


def test_it_ends_with_its_launcher_and_the_workers_go_on(desk: Desk) -> None:
    command = desk.sweep(*SLOW)
    workers = eventually(lambda: at_work(desk), "two trials run")
    server = parent(parent(next(iter(workers.values()))))
    command.kill()
    command.wait()
    eventually(lambda: not is_running(server), "the server has ended")
    assert desk.holders() == workers
    desk.gate.touch()
    eventually(lambda: len(desk.in_store()) == 4, "the workers finish the sweep")
    eventually(lambda: not desk.workers(), "and end")


def test_one_that_cannot_start_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    before = set(descendants(os.getpid()))
    server = ForkServer()
    with pytest.raises(ServerGone):
        server.start(tmp_path, WorkerTask(str(tmp_path), "sweep", "", 1))
    assert set(descendants(os.getpid())) <= before


NO_DESCRIPTORS = """
import os

def refuse(pid):
    raise OSError(38, "Function not implemented")

os.pidfd_open = refuse
"""
ODD_PYTHONS = {"has no descriptors of processes": NO_DESCRIPTORS, "prints as it starts": "print('welcome')\n"}
"""A `sitecustomize.py` each: what Linux before 5.3 or a sandbox does, and what some clusters install."""
OUT_OF_DESCRIPTORS = """
import os

def one(pid, opened=os.pidfd_open):
    if pid != os.getpid():
        raise OSError(24, "Too many open files")
    return opened(pid)

os.pidfd_open = one
"""


def install(folder: Path, sitecustomize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(sitecustomize)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_server_that_has_a_second_thread_forks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
    install(tmp_path / "python", thread, monkeypatch)
    command = [sys.executable, "-m", fork_server.__name__, "1"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert ended.returncode == fork_server.HAS_THREADS, ended.stderr


def running_in_group(group: int) -> list[int]:
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            pids += [int(stat.parent.name)] if int(its_group) == group and state not in "ZX" else []
    return pids


@pytest.mark.parametrize("python", ODD_PYTHONS)
def test_workers_start_where_python(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    install(tmp_path / "site", ODD_PYTHONS[python], monkeypatch)
    answer = desk.answer(desk.sweep(*SMALL, "seed=0,1"))
    assert answer.code == 0, answer
    assert {result["status"] for result in desk.in_store().values()} == {"completed"}


def test_a_worker_that_cannot_be_watched_over_is_ended(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", OUT_OF_DESCRIPTORS, monkeypatch)
    command = desk.sweep(*SLOW)
    assert "no worker can start" in desk.answer(command).complaint
    eventually(lambda: not running_in_group(command.pid), "no process is left")
    assert desk.in_store() == {}


def test_a_launch_leaves_no_descriptor_open(tmp_path: Path) -> None:
    def descriptors() -> list[str]:
        return sorted(os.listdir("/proc/self/fd"))

    before = descriptors()
    jobs = Jobs(tmp_path)
    there = [jobs.start(WorkerTask(str(tmp_path), "no-such-sweep", "", 1)) for _ in range(2)]
    eventually(lambda: all((tmp_path / f"{job.pid}_0_log.err").exists() for job in there), "both were forked")
    jobs.close()
    assert descriptors() == before
    eventually(lambda: not any(is_running(job.pid) for job in there), "they end")
