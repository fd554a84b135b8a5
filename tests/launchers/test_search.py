"""Hydra's search sweepers with our launchers, and the objective that they maximise."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from commands import SMALL, Desk, irm_sweeps, launch
from irm_sweeps.errors import UserError
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.direction import follow_objective, told_to_minimise
from irm_sweeps.sweep.objective import objective
from synthetic_store import made_up_result

OPTUNA = [
    "hydra/sweeper=optuna",
    "hydra/sweeper/sampler=random",
    "hydra.sweeper.sampler.seed=1",
    "hydra/hydra_logging=default",
    "method=irmv1",
    "method.anneal=0",
    "dataset.n_val=40",
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.end()


def accuracy(result: dict[str, Any]) -> float:
    """What `objective=auto` means where images are held back."""
    scores = result["metrics"]["val"]["scores"]["val"]
    return sum(own["accuracy"] for own in scores.values()) / len(scores)


def test_ten_trials_through_the_local_pool(desk: Desk) -> None:
    command = desk.sweep(
        *SMALL, *OPTUNA, "hydra.sweeper.n_trials=10", "hydra.sweeper.n_jobs=5", "lam=interval(1,100)",
        f"hydra.sweep.dir={desk.folder}", slots=1,
    )  # fmt: skip
    answer = desk.answer(command, 240)
    assert answer.code == 0, answer
    results = desk.in_store()
    assert len(results) == 10
    best = max(map(accuracy, results.values()))
    (printed,) = re.findall(r"Best value: ([\d.]+)", answer.out)
    assert float(printed) == best
    found = yaml.safe_load((desk.folder / "optimization_results.yaml").read_text())
    assert found["best_value"] == best
    lam = found["best_params"]["lam"]
    assert best in [accuracy(r) for r in results.values() if r["config"]["lam"] == lam]


def test_a_trial_that_diverges_does_not_end_the_search(desk: Desk) -> None:
    answer = launch(
        "-m", f"results={desk.results}", *SMALL, *OPTUNA, "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=6",
        "optimizer=sgd", "optimizer.lr=choice(0.1,1e38)", f"hydra.sweep.dir={desk.folder}",
    )  # fmt: skip
    assert answer.code == 0, answer
    by_lr = {r["config"]["optimizer"]["lr"]: r["status"] for r in desk.in_store().values()}
    assert by_lr == {0.1: "completed", 1e38: "diverged"}
    assert yaml.safe_load((desk.folder / "optimization_results.yaml").read_text())["best_params"] == {
        "optimizer.lr": 0.1
    }


LINEAR = [
    "dataset=linear_unit_tests", "dataset.n_train=64", "dataset.n_test=64", "backbone.depth=0", "training.steps=5",
    "device=cpu", "method=erm", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1",
    "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=2", "optimizer.lr=choice(1e30,0.01,0.1)",
]  # fmt: skip
"""A search in which one of three candidates diverges; the largest of the others fits best."""


@pytest.mark.parametrize(
    ("said", "best"),
    [
        ([], 0.1),
        (["objective=last:train/mean/risk"], 0.1),
        (["hydra.sweeper.direction=minimize"], 0.01),
        (["objective=last:train/mean/risk", "hydra.sweeper.direction=maximize"], 0.01),
    ],
    ids=["accuracy", "risk", "told to minimise", "told to maximise a risk"],
)
def test_the_best_is_never_the_trial_that_diverged(
    said: list[str], best: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = launch("-m", "results=store", *LINEAR, *said)
    assert answer.code == 0, answer
    (kept,) = tmp_path.glob("store/sweeps/search-*/optimization_results.yaml")
    assert yaml.safe_load(kept.read_text())["best_params"] == {"optimizer.lr": best}
    assert [path.name for path in tmp_path.iterdir()] == ["store"]

    (trial_id,) = re.findall(rf"^best of 3 trials: (\w+)  erm lr={best} seed=0$", answer.out, re.M)
    assert f"optimizer.lr={best}" in answer.out
    assert str(kept) in answer.out
    (command,) = re.findall("look at it with: irm-sweeps (.*)", answer.out)
    assert f"trial {trial_id} " in irm_sweeps(*shlex.split(command)).out


def test_one_at_a_time_the_lines_name_what_the_search_varies(tmp_path: Path) -> None:
    answer = launch("-m", f"results={tmp_path}", *LINEAR, "hydra.sweeper.n_jobs=1")
    lines = re.findall(r"^\[1/1\].* \w{16} (.*)$", answer.out, re.M)
    assert sorted(lines) == ["erm lr=0.01 seed=0", "erm lr=0.1 seed=0", "erm lr=1e+30 seed=0"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (["hydra.sweeper.direction=[maximize,minimize]"], "one direction: write hydra.sweeper.direction=maximize"),
        (["hydra.sweeper.direction=max"], "hydra.sweeper.direction=max: write hydra.sweeper.direction=maximize or"),
        (["plan=true"], "plan=true: a search chooses"),
        (["paper=demo"], "paper=demo: its trials are given"),
    ],
)
def test_what_no_search_can_be_asked_for(said: list[str], why: str, tmp_path: Path) -> None:
    answer = launch("-m", f"results={tmp_path}", *LINEAR, *said)
    assert why in answer.complaint
    assert not list(tmp_path.glob("*/result.json"))


@dataclass
class _Optim:
    maximize: bool = False


@dataclass
class _Like:
    """The keys of `hydra/sweeper=nevergrad` that matter here; the plug-in itself is not installed."""

    optim: _Optim = field(default_factory=_Optim)


@pytest.mark.parametrize(("objective", "maximize"), [("auto", True), ("last:train/mean/risk", False)])
def test_other_sweepers_follow_the_objective_too(
    objective: str, maximize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plugins.instance()
    known = ConfigStore.instance().repo["hydra"]["sweeper"]
    monkeypatch.setitem(known, "nevergrad.yaml", None)
    ConfigStore.instance().store("nevergrad", _Like, group="hydra/sweeper")
    for _ in range(2):  # as the second command of a process does
        follow_objective()
    node = ConfigStore.instance().load("hydra/sweeper/nevergrad.yaml").node
    config = OmegaConf.create({"objective": objective, "hydra": {"sweeper": node}})
    assert config.hydra.sweeper.optim.maximize is maximize
    assert told_to_minimise(config.hydra.sweeper) is not maximize


def result(**metrics: Any) -> Result:
    return made_up_result({rule: {"step": 1, "scores": scores} for rule, scores in metrics.items()})


SCORES = {"train": {"0.2": {"accuracy": 0.8, "risk": 1.0}, "0.1": {"accuracy": 0.6, "risk": None}}}


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("auto", 0.7),
        ("last:train/mean/accuracy", 0.7),
        ("last:train/min/accuracy", 0.6),
        ("last:train/0.2/accuracy", 0.8),
        ("last:train/0.2/risk", 1.0),
        ("last:train/0.1/risk", math.inf),
    ],
)
def test_the_objective_of_a_result(wanted: str, value: float) -> None:
    assert objective(result(last=SCORES), wanted) == pytest.approx(value)


def test_held_out_images_come_first() -> None:
    val = {"val": {"0.2": {"accuracy": 0.9, "risk": 0.1}}}
    assert objective(result(last=SCORES, val=val), "auto") == 0.9


def test_a_diverged_trial_is_worth_the_worst() -> None:
    assert objective(result(), "auto") == 0.0
    assert objective(result(), "last:test/0.9/accuracy") == 0.0
    assert objective(result(), "last:test/0.9/risk") == math.inf
    assert objective(result(), "last:test/0.9/ece") == 1.0
    assert objective(result(), "auto", regression=True) == -math.inf
    assert objective(result(), "auto", minimise=True) == 1.0
    assert objective(result(), "auto", regression=True, minimise=True) == math.inf
    assert objective(result(), "last:test/0.9/risk", minimise=False) == -math.inf


@pytest.mark.parametrize("wanted", ["last:nothing/0.2/accuracy", "val:train/0.2/accuracy", "last:train/0.7/risk"])
def test_a_number_that_is_not_there(wanted: str) -> None:
    with pytest.raises(UserError, match=r"the result has no such number \(rules: last\); write auto or RULE:SPLIT"):
        objective(result(last=SCORES), wanted)
