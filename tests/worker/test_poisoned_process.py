"""One worker trains a user's method that changes the whole process, and then every built-in method."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import SUPPORT, outcomes
from irm_sweeps.commands.method_catalogue import methods
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.testing.fixtures import MakeTrial
from irm_sweeps.trial import Trial
from irm_sweeps.worker.exceptions import ProcessChanged
from poisoner import Poisoner

DEEDS = ("settings", "functions", "threads", "fork")
LASTING = {"threads": "the thread left behind", "functions": "torch.nn.functional.relu"}
"""What a worker says before it is replaced."""
SMALL = ("training.precision=float32", "training.steps=6", "training.batch_size=16")


def sweep(folder: Path, trials: list[Trial]) -> tuple[Store, Manifest]:
    store = Store(folder)
    store.prepare()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    return store, write_manifest(store, "sweep", {t.id: t.canonical for t in trials}, [[t.id] for t in trials], run)


def found(store: Store) -> dict[str, dict[str, Any]]:
    return {r.trial_id: dict(r.raw) for r in store.results() if isinstance(r, Result)}


def work(folder: Path, trials: list[Trial]) -> tuple[dict[str, dict[str, Any]], str]:
    """Let one worker do a sweep; return the results and what it printed."""
    store, manifest = sweep(folder, trials)
    code = f"from irm_sweeps.launchers.worker_task import WorkerTask; WorkerTask({str(folder)!r}, {manifest.name!r}, \
        threads=1, told=True)()"
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, cwd=folder
    )
    results = found(store)
    assert answer.returncode == any(result["status"] == "failed" for result in results.values()), answer.stderr
    return results, answer.stderr


def doing(make_trial: MakeTrial, deed: str) -> Trial:
    return make_trial("method=erm", *SMALL).model_copy(update={"method": Poisoner(risk="mean", deed=deed)})


@pytest.fixture
def built_in(make_trial: MakeTrial) -> list[Trial]:
    return [make_trial(f"method={entry.name}", "dataset.side=time", *SMALL) for entry in methods()]


def test_every_method_has_the_bits_that_it_has_alone(
    built_in: list[Trial], make_trial: MakeTrial, tmp_path: Path
) -> None:
    alone, _ = work(tmp_path / "alone", built_in)
    assert len(alone) == len(built_in)
    poisoned = {deed: doing(make_trial, deed) for deed in DEEDS}
    # A trial that a worker has released comes last, so one built-in method stands between the two that are lasting.
    order = [*(poisoned[deed] for deed in ("settings", "fork", "threads")), built_in[0], poisoned["functions"]]
    results, said = work(tmp_path / "after", [*order, *built_in[1:]])
    assert results.keys() == alone.keys() | {trial.id for trial in poisoned.values()}
    assert outcomes({trial_id: results[trial_id] for trial_id in alone}) == outcomes(alone)
    replaced = re.findall("this worker ends, and another process goes on: (.*)", said)
    assert len(replaced) == len(LASTING), said
    for line, change in zip(replaced, LASTING.values(), strict=True):
        assert re.search("a trial's own code has changed .*" + re.escape(change), line)
    for trial in (poisoned["threads"], poisoned["fork"]):
        assert results[trial.id]["status"] == "completed"
        log = (tmp_path / "after" / trial.id / "log.txt").read_text()
        assert log.count("completed") == 1
    assert "a process that the trial's code has forked came back" in log
    assert "already has" not in log
    assert "written the result first" not in log


def test_in_process_the_sweep_is_refused_instead_of_going_on(make_trial: MakeTrial, tmp_path: Path) -> None:
    trials = [doing(make_trial, "functions"), make_trial("method=erm", *SMALL)]
    store, manifest = sweep(tmp_path, trials)
    relu, concatenate = torch.nn.functional.relu, __import__("numpy").concatenate
    try:
        with pytest.raises(ProcessChanged, match=r"has changed .*hydra/launcher=local") as refusal:
            InProcess().run(store, manifest, Progress(2))
    finally:
        torch.nn.functional.relu = relu
        vars(sys.modules["numpy"])["concatenate"] = concatenate
        if "__add__" in vars(torch.Tensor):
            del torch.Tensor.__add__
    assert "\n" not in str(refusal.value)
    assert list(found(store)) == [trials[0].id]
    (claim,) = (tmp_path / trials[1].id).glob("claim.*.json")
    assert json.loads(claim.read_text())["released"]
