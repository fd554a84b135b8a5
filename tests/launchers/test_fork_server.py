"""The process that forks the CPU workers of a local pool: whichever process is killed, the sweep ends as it should."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from commands import ROGUE, Desk, eventually, is_running
from irm_sweeps.launchers.local_jobs import ForkServer, ServerGone
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
    server = ForkServer()
    with pytest.raises(ServerGone):
        server.start(tmp_path, WorkerTask(str(tmp_path), "sweep", "", 1))
    assert descendants(os.getpid()) == []
