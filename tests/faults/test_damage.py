"""Damage to every file of a store: the sweep recovers, or one line says what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import ROGUE, Desk, irm_sweeps, outcomes
from faults.power_cut import forked
from irm_sweeps.errors import UserError
from irm_sweeps.files import reading
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.plan import make_plan
from irm_sweeps.sweep.prepare import prepare
from irm_sweeps.sweep.run import run_sweep
from irm_sweeps.training.loop import StackTraining

SWEEP = [*ROGUE, "training.steps=40", "training.log_every=1", "checkpoint_seconds=0.01", "seed=0,1"]

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-2],
    "zeros": lambda content: bytes(len(content)),
    "half of it zeros": lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
}

DONE = ["result.json", "history.jsonl", "log.txt"]
OPEN = ["checkpoint.safetensors", "claim.1.json", "log.txt"]
SWEEPS = ["manifest.json", "jobs.json", "workers/*.json", "stop.*", "submitting.*"]
SITES = [*(("done", site) for site in DONE), *(("open", site) for site in OPEN), *(("sweep", site) for site in SWEEPS)]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every kind of file: one trial is done, the worker of the other was killed at work."""
    store = Store(tmp_path_factory.mktemp("interrupted") / "results")
    assert run_sweep([f"results={store.root}", *SWEEP[:-1], "seed=0"], InProcess()) == 0
    shutil.rmtree(store.root / "sweeps")
    trials, settings, label = collect([f"results={store.root}", *SWEEP])
    manifest = prepare(store, make_plan(store, trials, settings), settings, InProcess(), label)

    def die_at_work(tell: Callable[[str], None]) -> None:
        advance = StackTraining._advance

        def step(training: StackTraining) -> None:
            if training.step == 20:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.01)
            advance(training)

        StackTraining._advance = step
        WorkerTask(str(store.root), manifest.name)()

    assert forked(die_at_work) == (-signal.SIGKILL, [])
    folder = manifest.folder(store)
    (folder / "jobs.json").write_text('{"jobs": ["12_0"]}\n')
    for name in ("stop", "submitting"):
        (folder / f"{name}.{manifest.launch}").touch()
    return store.root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("undisturbed"))
    assert run_sweep([f"results={desk.results}", *SWEEP], InProcess()) == 0
    return desk


@pytest.fixture
def forgotten_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SLURM that remembers no job; a real one that is switched off is asked in vain for ten seconds."""
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(("where", "name"), SITES, ids=[f"{where}-{name}" for where, name in SITES])
def test_a_damaged_file_is_made_again_or_named(
    interrupted: Path, undisturbed: Desk, memory: Path, composed_once: None, forgotten_jobs: None, where: str, name: str
) -> None:
    for damage, damaged in DAMAGES.items():
        desk = Desk(memory)
        shutil.rmtree(desk.results, ignore_errors=True)
        shutil.copytree(interrupted, desk.results)
        (done,) = desk.in_store()
        (other,) = set(undisturbed.in_store()) - {done}
        (sweep,) = desk.results.glob("sweeps/*")
        folder = {"done": desk.results / done, "open": desk.results / other, "sweep": sweep}[where]
        for path in folder.glob(name):
            path.write_bytes(damaged(path.read_bytes()))

        status = irm_sweeps("status", "--json", "--results", str(desk.results))
        if name == "manifest.json":
            assert f"{sweep / name} cannot be read" in status.complaint
            assert status.complaint.endswith("issue the sweep's command again")
        else:
            assert status.code == 0, (damage, status)
            report = json.loads(status.out)
            whole = name != "result.json"
            assert (report["completed"], len(report["damaged"]), report["running"]) == (whole, not whole, []), damage
        assert run_sweep([f"results={desk.results}", *SWEEP], InProcess()) == 0, damage
        assert outcomes(desk.in_store()) == outcomes(undisturbed.in_store()), damage
        assert json.loads(irm_sweeps("status", "--json", "--results", str(desk.results)).out)["completed"] == 2
        resumed = "resumed at step" in desk.log(other)
        assert resumed == (name != "checkpoint.safetensors"), f"{damage}: what is whole is gone on with"


def test_what_cannot_be_read_is_not_taken_for_damaged(
    interrupted: Path, memory: Path, composed_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's file, or a server that fails: it may be whole, and a claim in force."""
    read = reading.read_regular
    for name in ("result.json", "claim.1.json"):

        def refused(path: Path | str, at_most: int, name: str = name) -> bytes:
            if Path(path).name == name:
                raise PermissionError(13, "Permission denied")
            return read(path, at_most)

        results = memory / "results"
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(interrupted, results)
        (path,) = results.glob(f"*/{name}")
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(reading, "read_regular", refused)
            with pytest.raises(UserError, match=f"cannot read {path}: Permission denied"):
                run_sweep([f"results={results}", *SWEEP], InProcess())
        assert path.read_bytes() == before
