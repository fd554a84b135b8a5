"""Hydra's search sweepers with our launchers, and the objective that they maximise."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import SMALL, Desk, launch
from irm_sweeps.errors import UserError
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.objective import objective
from synthetic_store import made_up_result

OPTUNA = [
    "hydra/sweeper=optuna",
    "hydra.sweeper.direction=maximize",
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


@pytest.mark.parametrize("wanted", ["last:nothing/0.2/accuracy", "val:train/0.2/accuracy", "last:train/0.7/risk"])
def test_a_number_that_is_not_there(wanted: str) -> None:
    with pytest.raises(UserError, match=r"the result has no such number \(rules: last\); write auto or RULE:SPLIT"):
        objective(result(last=SCORES), wanted)
