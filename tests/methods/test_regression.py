"""The squared loss: every method trains with it, and selection by accuracy becomes selection by risk."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from irm_sweeps.commands.method_catalogue import methods
from irm_sweeps.commands.show import scores_table
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.data.linear_unit_tests import LinearUnitTests
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Point
from irm_sweeps.methods.risks import LOSSES
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.objective import objective
from irm_sweeps.testing.runs import assert_same_outcome, play, players_of
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.training.selection import RULES, Evaluation, check
from irm_sweeps.trial import Trial
from method_cases import VARIANTS
from synthetic_store import made_up_result

CASES = {
    **{entry.name: [f"method={entry.name}"] for entry in methods() if not entry.target.needs_classes},
    **VARIANTS,
}
SMALL = {"anneal": 4, "ib_anneal": 6, "stop_warmup": 0, "emb_dim": 5, "hidden_dim": 7, "inner_lr": 0.01}


@pytest.fixture(scope="session")
def make(make_regression):
    """Example 1, with a linear predictor."""

    def small(overrides: list[str], *more: str, **fields: Any) -> Trial:
        own = type(make_regression(*overrides).method).model_fields
        values = {key: value for key, value in {**SMALL, **fields}.items() if key in own}
        named = [override.partition("=")[0] for override in overrides]
        given = [f"method.{key}={value}" for key, value in values.items() if f"method.{key}" not in named]
        trial = make_regression(*overrides, *given, *more)
        if not trial.method.uses_side:
            return trial
        dataset = _WithSide.model_validate(trial.dataset.model_dump(exclude={"target"}))
        return trial.model_copy(update={"dataset": dataset})

    return small


class _WithSide(LinearUnitTests):
    """With the first feature as side information."""

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        data = super().draw(seed, data_dir)
        return replace(data, side=[x[:, :1] for x in data.inputs])


@pytest.fixture(scope="session")
def make_regression(make_trial_of):
    return make_trial_of(
        ["dataset=linear_unit_tests"],
        {
            "dataset.example": "cause_effect",
            "dataset.n_train": 40,
            "dataset.n_val": 20,
            "dataset.n_test": 30,
            "backbone.depth": 0,
            "training.precision": "float64",
            "training.steps": 30,
            "training.log_every": 1,
            "training.l2": 0.001,
            "optimizer.lr": 0.02,
            "lam": 2,
        },
    )


# The loss and its closed-form gradients.


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(6,), (6, 4)])
def test_residuals_are_the_gradient(name: str, shape: tuple[int, ...]) -> None:
    if name == "squared" and len(shape) == 2:
        pytest.skip("a regression has one output")
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(2, (6,), generator=generator)
    loss = LOSSES[name]
    (gradient,) = torch.autograd.grad(loss.losses(outputs, labels).sum(), outputs)
    torch.testing.assert_close(loss.residuals(outputs, labels), gradient)


def test_the_risk_is_the_mean_squared_error() -> None:
    outputs, labels = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 1.0])
    assert LOSSES["squared"].losses(outputs, labels).tolist() == [0, 4, 9]
    assert LOSSES["squared"].correct(outputs, labels) is None


@pytest.mark.parametrize("on", ["output", "hidden"])
def test_irmv1_s_closed_form(on: str, make, training) -> None:
    """|| grad_w mean (w z - y)^2 ||^2 at w = 1, and the same of the head, by autograd."""
    run = training(make(["method=irmv1", f"method.on={on}"]))
    p = {name: t[0].detach() for name, t in run.parameters.tensors().items()}
    batch = run.data.batch(0, 0, 1)
    inputs, labels = batch.inputs[0], batch.labels[0]
    expected = 0.0
    for x, y in zip(inputs.chunk(3), labels.chunk(3), strict=True):
        w = torch.ones(1, dtype=x.dtype, requires_grad=True)
        head = [p["head.weight"].clone().requires_grad_(), p["head.bias"].clone().requires_grad_()]
        risk = (w * (x @ head[0].T + head[1]).squeeze(-1) - y).square().mean()
        gradients = torch.autograd.grad(risk, [w] if on == "output" else head)
        expected += sum(g.square().sum().item() for g in gradients) / 3
    run._advance()
    run._collect()
    assert run._progress[0].history[0]["penalty"] == pytest.approx(expected)


def test_erm_finds_the_least_squares_solution(make, training) -> None:
    run = training(make(["method=erm"], "training.l2=0", "training.steps=4000", "optimizer.lr=0.01"))
    run.run()
    batch = run.data.batch(0, 0, 1)
    x, y = batch.inputs[0].numpy(), batch.labels[0].numpy()
    expected = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]
    found = run.parameters.tensors()
    weights = [*found["head.weight"].detach().flatten().tolist(), found["head.bias"].item()]
    np.testing.assert_allclose(weights, expected, atol=1e-3)


# Every method.


@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str, make, training) -> None:
    run = training(make(CASES[case]))
    generator = torch.Generator().manual_seed(0)
    for _ in range(7):
        for _, turn in play(run):
            tensors, owned = run.parameters.tensors(), players_of(run)
            for player, objective_ in turn().objectives.items():
                leaves = [tensors[name] for name in owned[player]]
                if not leaves:
                    continue  # the representation of a linear predictor
                gradients = torch.autograd.grad(
                    objective_.sum(), leaves, allow_unused=True, materialize_grads=True, retain_graph=True
                )
                for leaf, gradient in zip(leaves, gradients, strict=True):
                    direction = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
                    direction /= direction.norm().clamp(min=1e-12)
                    values = []
                    for step in (1e-6, -2e-6, 1e-6):
                        leaf.data += step * direction
                        values.append(turn().objectives[player].sum().item())
                    found = (gradient * direction).sum().item()
                    assert found == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_it_learns_and_is_scored_by_risk_alone(case: str, make, training) -> None:
    trial = make(CASES[case], "training.steps=60", "training.evaluate_every=30", "optimizer.lr=0.05", "lam=0.01")
    (outcome,) = training(trial).run()
    assert outcome.diverged_at is None
    assert {"last", "val", "oracle"} <= set(outcome.metrics)
    environments = [own for split in outcome.metrics["last"]["scores"].values() for own in split.values()]
    assert all(set(own) == {"risk"} for own in environments)
    variance = training(trial).data.batch(0, 0, 1).labels.square().mean().item()
    risks = [own["risk"] for own in outcome.metrics["last"]["scores"]["train"].values()]
    assert np.mean(risks) < variance


@pytest.mark.parametrize("case", CASES)
def test_a_stacked_trial_equals_its_solo_run(case: str, make, training) -> None:
    trials = [make(CASES[case], f"seed={seed}", f"lam={lam}") for seed, lam in ((1, 3), (2, 0.5))]
    if not trials[0].method.stacks:
        pytest.skip("it does not stack")
    for trial, outcome in zip(trials, training(*trials).run(), strict=True):
        assert_same_outcome(outcome, *training(trial).run())


def test_a_game_that_ends_by_accuracy_does_not_end(make, training) -> None:
    trial = make(["method=irm_games"], "training.evaluate_every=5", "method.stop_below=1")
    assert "stop" not in training(trial).run()[0].metrics


# What chooses.


def evaluation(step: int, *, val: Any, test: Any) -> Evaluation:
    return Evaluation(
        step,
        {
            "train": {"0": {"risk": 1.0}, "1": {"risk": 2.0}},
            "val": {"0": {"risk": val}, "1": {"risk": 1.0}},
            "test": {"0": {"risk": 0.0}, "1": {"risk": test}},
        },
    )


def test_the_rules_choose_the_lowest_risk() -> None:
    evaluations = [
        evaluation(1, val=3.0, test=2.0),
        evaluation(2, val=1.0, test=9.0),
        evaluation(3, val=1.0, test=1.0),
        evaluation(4, val=None, test=None),
    ]
    assert RULES["val"](evaluations, "1").step == 2, "the earliest of equals"
    assert RULES["oracle"](evaluations, "1").step == 3
    seen = check(evaluations[3], [0.0])
    assert (seen.train_accuracies, seen.val_risks) == ([], [math.inf, 1.0])


def result(**splits: Any) -> Result:
    metrics = {rule: {"step": 1, "scores": splits} for rule in ("last", "val")} if splits else {}
    if "val" not in splits:
        metrics.pop("val", None)
    return made_up_result(metrics)


def test_a_search_maximises_minus_the_risk() -> None:
    train = {"0": {"risk": 1.0}, "1": {"risk": 2.0}}
    assert objective(result(train=train), "auto", regression=True) == -1.5
    assert objective(result(train=train, val={"0": {"risk": 4.0}}), "auto", regression=True) == -4
    assert objective(result(), "auto", regression=True) == -math.inf, "it diverged"
    assert objective(result(train=train), "last:train/1/risk", regression=True) == 2
    with pytest.raises(UserError, match="the result has no such number"):
        objective(result(train=train), "last:train/1/accuracy", regression=True)


def test_a_result_is_shown_without_accuracy() -> None:
    shown = scores_table(result(train={"0": {"risk": 1.5}}))
    assert "risk 1.5000" in shown
    assert "accuracy" not in shown


def test_a_point_has_the_loss_of_its_dataset(make, training, monkeypatch) -> None:
    seen = []
    real = Point.risks
    monkeypatch.setattr(Point, "risks", lambda at, logits: seen.append(at.loss) or real(at, logits))
    run: StackTraining = training(make(["method=erm"]))
    run._advance()
    assert seen == [LOSSES["squared"]]
    assert isinstance(run.parameters.tensors()["head.bias"], Tensor)


def test_the_inner_step_that_is_compared_goes_down_the_squared_loss(make, training, monkeypatch) -> None:
    run = training(make(["method=meta_irm"], "training.similarity=inner_step"))
    seen = []
    adapted = type(run.trials[0].method).adapted
    monkeypatch.setattr(
        type(run.trials[0].method), "adapted", lambda self, at: seen.append(at.loss) or adapted(self, at)
    )
    run._evaluate()
    assert seen == [LOSSES["squared"]]
