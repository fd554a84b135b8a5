"""Files stored in November 2026 can still be read: results, a manifest, a checkpoint, a submitted worker."""

from __future__ import annotations

import base64
import json
import tarfile
from pathlib import Path

import cloudpickle
import pytest

from commands import irm_sweeps, launch
from irm_sweeps import load_results
from irm_sweeps.launchers import entry
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial

STORED = Path(__file__).with_name("stored_2026_11.tar.gz")
"""Six completed trials, a failed and a diverged one of their own sweeps, and one whose process was killed at step
1,200 or so of 3,000."""

KEYS = [
    *("dataset.source=embedded", "dataset.n_train=100", "dataset.n_val=40", "backbone.width=4", "device=cpu"),
]
SWEPT = ["method=erm,irmv1,meta_irm", "lam=10", "seed=0,1", "training.steps=4", "training.evaluate_every=2"]
KILLED = ["method=vrex", "lam=10", "seed=0", "training.steps=3000"]

PICKLED = (
    "gAWVsAAAAAAAAACMGmlybV9zd2VlcHMubGF1bmNoZXJzLmVudHJ5lIwKV29ya2VyVGFza5STlCmBlH2UKIwHcmVzdWx0c5SMDC90bXAvcmVzdWx0"
    "c5SMBXN3ZWVwlIwNZGVtby0wMTIzYWJjZJSMC3Zpc2libGVfZ3B1lIwBMZSMB3RocmVhZHOUSwKMB2ZvbGRlcnOUXZSMCS90bXAvbWluZZRhjAd0"
    "cnVzdGVklIiMBHRvbGSUiXViLg=="
)
"""A `WorkerTask` as submitit stored one for a job that may still be queued."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "stored"


def test_its_trials_count_as_done(store: Path) -> None:
    planned = launch("-m", *SWEPT, *KEYS, f"results={store}", "plan=true")
    assert planned.out.splitlines()[0] == "6 done, 0 to run"


def test_every_number_of_it_is_read(store: Path) -> None:
    frame = load_results(store)
    assert not frame.attrs["problems"]
    assert frame.drop_duplicates("trial_id")["status"].value_counts().to_dict() == {
        "completed": 6,
        "failed": 1,
        "diverged": 1,
    }
    for trial_id, rows in frame[(frame["rule"] == "last") & (frame["split"] == "test")].groupby("trial_id"):
        written = json.loads((store / str(trial_id) / "result.json").read_text())
        scores = written["metrics"]["last"]["scores"]["test"]
        assert dict(zip(rows["environment"], rows["accuracy"], strict=True)) == {
            name: own["accuracy"] for name, own in scores.items()
        }


def test_what_its_configs_lack_is_read_as_a_new_result_has_it(store: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    answer = launch("-m", "method=erm,irmv1", *SWEPT[1:], *KEYS, f"results={new}")
    assert answer.code == 0, answer
    for result in Store(new).results():
        assert not isinstance(result, Problem)
        old = Store(store).result(result.trial_id)
        assert old is not None
        assert "noise_gap" not in old.raw["config"]["dataset"]
        assert result.raw["config"]["dataset"]["noise_gap"] == 0.0
        assert old.config == result.config == result.raw["config"]
        assert old.label == result.label
        assert {Trial.from_config(own).id for own in (old.config, old.raw["config"], result.config)} == {old.trial_id}
    planned = (launch("-m", *SWEPT, *KEYS, f"results={root}", "plan=true").out.splitlines()[0] for root in (store, new))
    assert list(planned) == ["6 done, 0 to run", "4 done, 2 to run"]
    with pytest.warns(UserWarning, match=r"left out: 4 results in .* with other numbers"):  # those stored are made up
        both = load_results(new, store)
    alone = load_results(store)
    assert set(both["dataset.noise_gap"]) == {0.0}
    for frame in (both, alone):
        settings = frame[frame["status"] == "completed"].groupby("setting")["seed"].agg(set).to_dict()
        assert settings == {name: {0, 1} for name in alone.loc[alone["status"] == "completed", "setting"]}
        assert {name.split()[0] for name in settings} == {"erm", "irmv1", "meta_irm"}


def test_its_sweeps_have_a_status(store: Path) -> None:
    told = irm_sweeps("status", "--all", "--results", str(store), "--json")
    states = {entry["sweep"].partition("-")[0]: entry for entry in json.loads(told.out)}
    assert {entry["total"] for entry in json.loads(told.out)} == {6, 1}
    assert states["trial"]["state"] == "stopped"


def test_the_trial_that_was_killed_goes_on_from_its_checkpoint(store: Path) -> None:
    answer = launch(*KILLED, *KEYS, f"results={store}")
    assert answer.code == 0, answer
    (log,) = [path for path in store.glob("*/log.txt") if "resumed at step" in path.read_text()]
    result = json.loads((log.parent / "result.json").read_text())
    assert log.parent.name == "6a1e400d2016f494"
    scores = result["metrics"]["last"]["scores"]["test"]
    undisturbed = {"0.1": 0.7818761467933655, "0.9": 3.2796}
    assert {name: scores[name]["risk"] for name in undisturbed} == pytest.approx(undisturbed, rel=1e-3)


def test_a_worker_that_was_submitted_is_the_same_one() -> None:
    assert entry.WorkerTask is WorkerTask
    task = cloudpickle.loads(base64.b64decode(PICKLED))
    assert task == WorkerTask("/tmp/results", "demo-0123abcd", "1", 2, ["/tmp/mine"])
