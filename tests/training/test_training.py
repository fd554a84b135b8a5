"""The training loop against plain PyTorch and numpy, and its evaluation and step counts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.draws import Draws
from irm_sweeps.methods.method import Pace
from irm_sweeps.training.batches import Minibatches
from irm_sweeps.training.optimizers import SGD, Adam
from irm_sweeps.training.parameters import StackedParameters
from irm_sweeps.training.selection import RULES
from irm_sweeps.trial import Trial

NOWHERE = Path("no_data_is_read")


def arrays(run: Any) -> dict[str, np.ndarray]:
    """The parameters of a solo training."""
    return {name: t.detach()[0].numpy().copy() for name, t in run.parameters.tensors().items()}


# The independent reference: Arjovsky et al.'s loop, written as in their script.


def reference(trial: Trial, start: dict[str, np.ndarray], restart_at: int | None = None) -> dict[str, torch.Tensor]:
    """One forward pass per environment, a dummy multiplier and autograd for the penalty, torch's own Adam."""
    data = trial.dataset.draw(trial.seed, NOWHERE)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    method, lr = trial.method, trial.optimizer.lr
    optimizer = torch.optim.Adam(p.values(), lr=lr)
    for step in range(trial.training.steps):
        if step == restart_at:
            optimizer = torch.optim.Adam(p.values(), lr=lr)
        risks, squares = [], []
        for x, y in zip(data.inputs, data.labels, strict=True):
            h = torch.from_numpy(x).double()
            for layer in ("representation.0", "representation.2"):
                h = torch.relu(h @ p[f"{layer}.weight"].T + p[f"{layer}.bias"])
            logits = (h @ p["head.weight"].T + p["head.bias"]).squeeze(1)
            w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
            y = torch.from_numpy(y)
            one_logit = logits.ndim == 1
            loss = (
                F.binary_cross_entropy_with_logits(w * logits, y.double())
                if one_logit
                else F.cross_entropy(w * logits, y)
            )
            risks.append(loss)
            squares.append(torch.autograd.grad(loss, w, create_graph=True)[0] ** 2)
        r = torch.stack(risks)
        pooled = r.sum() if method.risk == "sum" else r.mean()
        loss = pooled + trial.training.l2 * sum(q.pow(2).sum() for q in p.values())
        if trial.method.uses_lam:
            weight = trial.lam if step >= method.anneal else method.weight_before_anneal
            is_irm = "IRMv1" in trial.method.target
            penalty = torch.stack(squares).mean() if is_irm else sum((a - b) ** 2 for a in r for b in r) / 2
            loss = (loss + weight * penalty) / max(weight, 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return p


RUNS = {
    "erm": ["method=erm"],
    "irmv1": ["method=irmv1", "method.anneal=12"],
    "vrex": ["method=vrex", "method.anneal=12"],
    "erm of five classes": ["method=erm", "dataset.classes=5"],
    "irmv1 of five classes": ["method=irmv1", "method.anneal=12", "dataset.classes=5"],
    "vrex of three environments": [
        "method=vrex",
        "method.anneal=12",
        "dataset.p_e=[0.1,0.2,0.4]",
        "dataset.label_noise=[0.2,0.2,0.2]",
    ],
}


@pytest.mark.parametrize("name", RUNS)
def test_thirty_steps_equal_the_plain_loop(name: str, make_trial, training) -> None:
    trial = make_trial(*RUNS[name], "training.steps=30", "lam=91", "training.l2=0.001", "optimizer.lr=0.002", "seed=5")
    run = training(trial)
    start = arrays(run)
    expected = reference(trial, start)
    run.run()
    for key, value in arrays(run).items():
        np.testing.assert_allclose(value, expected[key].detach().numpy(), rtol=1e-9, atol=1e-9)
        assert not np.allclose(value, start[key], atol=1e-4), "it has learned"


def test_the_optimizer_restarts_at_the_anneal(make_trial, training) -> None:
    settings = ["method=irmv1", "method.anneal=12", "training.steps=30", "lam=91"]
    ends = {}
    for reset, at in (("true", 12), ("false", None)):
        trial = make_trial(*settings, f"method.reset_optimizer={reset}")
        run = training(trial)
        expected = reference(trial, arrays(run), restart_at=at)
        run.run()
        ends[reset] = arrays(run)
        for key, value in ends[reset].items():
            np.testing.assert_allclose(value, expected[key].detach().numpy(), rtol=1e-9, atol=1e-9)
    assert not np.allclose(ends["true"]["head.weight"], ends["false"]["head.weight"], atol=1e-6)


@pytest.mark.parametrize("reset", [True, False])
def test_ib_erm_restarts_adam_at_its_anneal_as_domainbed_does(reset: bool, make_trial, training) -> None:
    """Against a loop with torch's own Adam, made anew at the anneal, and a variance computed per environment."""
    more = [f"method.reset_optimizer={str(reset).lower()}", "method.bottleneck=features", "training.steps=30"]
    trial = make_trial("method=ib_erm", "method.anneal=12", "lam=7", "training.l2=0", "optimizer=adam", *more)
    run = training(trial)
    data = trial.dataset.draw(trial.seed, NOWHERE)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in arrays(run).items()}
    optimizer = torch.optim.Adam(p.values(), lr=trial.optimizer.lr)
    for step in range(30):
        if reset and step == 12:
            optimizer = torch.optim.Adam(p.values(), lr=trial.optimizer.lr)
        risks, variances = [], []
        for x, y in zip(data.inputs, data.labels, strict=True):
            h = torch.from_numpy(x).double()
            for layer in ("representation.0", "representation.2"):
                h = torch.relu(h @ p[f"{layer}.weight"].T + p[f"{layer}.bias"])
            logits = (h @ p["head.weight"].T + p["head.bias"]).squeeze(1)
            risks.append(F.binary_cross_entropy_with_logits(logits, torch.from_numpy(y).double()))
            variances.append(((h - h.mean(0)) ** 2).sum(0).div(len(h) - 1).mean())
        loss = torch.stack(risks).mean() + (7 if step >= 12 else 0) * torch.stack(variances).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run.run()
    for key, value in arrays(run).items():
        np.testing.assert_allclose(value, p[key].detach().numpy(), rtol=1e-8, atol=1e-8)


# One step of each optimizer by its formula.


def gradient(run: Any) -> dict[str, np.ndarray]:
    batch = run.data.batch(0, 0, 1)
    tensors = run.parameters.tensors()
    objective = run.game.turn(["model"], run.parameters.tensors(), run.scene(batch, {})).objectives["model"].sum()
    gradients = torch.autograd.grad(objective, list(tensors.values()))
    return {name: g[0].numpy() for name, g in zip(tensors, gradients, strict=True)}


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, "false"), (0.9, "false"), (0.9, "true")])
def test_sgd_by_hand(momentum: float, nesterov: str, make_trial, training) -> None:
    run = training(
        make_trial(
            "optimizer=sgd",
            "optimizer.lr=0.3",
            f"optimizer.momentum={momentum}",
            f"optimizer.nesterov={nesterov}",
            "optimizer.weight_decay=0.01",
        )
    )
    velocity = dict.fromkeys(arrays(run), 0.0)
    for _ in range(3):
        start, own = arrays(run), gradient(run)
        run._advance()
        for name, value in arrays(run).items():
            g = own[name] + 0.01 * start[name]
            velocity[name] = momentum * velocity[name] + g
            step = g + momentum * velocity[name] if nesterov == "true" else velocity[name]
            np.testing.assert_allclose(value, start[name] - 0.3 * step, rtol=1e-12, atol=1e-14)


def test_adam_by_hand(make_trial, training) -> None:
    run = training(
        make_trial(
            "optimizer=adam",
            "optimizer.lr=0.02",
            "optimizer.betas=[0.8,0.95]",
            "optimizer.eps=1e-3",
            "optimizer.weight_decay=0.1",
        )
    )
    first, second = (dict.fromkeys(arrays(run), 0.0) for _ in range(2))
    for t in (1, 2, 3):
        start, own = arrays(run), gradient(run)
        run._advance()
        for name, value in arrays(run).items():
            g = own[name] + 0.1 * start[name]
            first[name] = 0.8 * first[name] + 0.2 * g
            second[name] = 0.95 * second[name] + 0.05 * g**2
            m, v = first[name] / (1 - 0.8**t), second[name] / (1 - 0.95**t)
            np.testing.assert_allclose(value, start[name] - 0.02 * m / (np.sqrt(v) + 1e-3), rtol=1e-9, atol=1e-12)


# Evaluation.


def scores_by_numpy(p: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    h = x.astype(np.float64)
    for layer in ("representation.0", "representation.2"):
        h = np.maximum(h @ p[f"{layer}.weight"].T + p[f"{layer}.bias"], 0)
    z = h @ p["head.weight"].T + p["head.bias"]
    z = np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z
    log_total = np.log(np.exp(z).sum(1))
    return float((log_total - z[np.arange(len(y)), y]).mean()), float((z.argmax(1) == y).mean())


@pytest.mark.parametrize("extra", [[], ["dataset.classes=5"], ["dataset.classes=10"], ["dataset.grayscale=true"]])
def test_scores_are_numpy_s(extra: list[str], make_trial, training) -> None:
    trial = make_trial("dataset.n_val=20", "dataset.test_p_e=[0.1,0.5,0.9]", "training.steps=15", *extra)
    run = training(trial)
    (outcome,) = run.run()
    p, data = arrays(run), trial.dataset.draw(trial.seed, NOWHERE)
    environments = {("train", n): (x, y) for n, x, y in zip(data.names, data.inputs, data.labels, strict=True)}
    for split, held_out in data.held_out.items():
        for name, e in held_out.environments.items():
            environments[split, name] = held_out.inputs[e.index], e.labels
    found = outcome.metrics["last"]["scores"]
    assert {(split, name) for split in found for name in found[split]} == set(environments)
    assert outcome.metrics["last"]["step"] == 15
    for (split, name), (x, y) in environments.items():
        risk, accuracy = scores_by_numpy(p, x, y)
        assert found[split][name]["risk"] == pytest.approx(risk, rel=1e-9)
        assert found[split][name]["accuracy"] == pytest.approx(accuracy, abs=1e-12)


def test_large_sets_are_evaluated_in_pieces_to_the_same_scores(make_trial, training, monkeypatch) -> None:
    trial = make_trial()
    (whole,) = training(trial).run()
    monkeypatch.setattr("irm_sweeps.training.stacked_data.ROWS", 37)
    (pieces,) = training(trial).run()
    for split, environments in whole.metrics["last"]["scores"].items():
        for name, scores in environments.items():
            assert pieces.metrics["last"]["scores"][split][name] == pytest.approx(scores, rel=1e-12)


@pytest.mark.parametrize(("every", "evaluations"), [(0, 1), (2, 3), (5, 1), (7, 1)])
@pytest.mark.parametrize("method", ["irmv1", "erm"])
def test_test_images_are_seen_by_evaluations_only(
    method: str, every: int, evaluations: int, make_trial, training, monkeypatch
) -> None:
    """Arjovsky et al.'s script forwards the test environment at every step; that costs and is not needed."""
    rows: list[int] = []
    forward = Model.represent

    def counted(self: Model, parameters: Any, x: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        return forward(self, parameters, x)

    monkeypatch.setattr(Model, "represent", counted)
    training(make_trial(f"method={method}", "training.steps=5", f"training.evaluate_every={every}")).run()
    assert rows.count(2000) == evaluations, "1,000 test images in two colours"
    assert rows.count(120) == 5 + evaluations, "both training environments in one pass"
    assert len(rows) == 5 + 2 * evaluations


def test_cadence_of_logs_and_evaluations(make_trial, training) -> None:
    trial = make_trial("training.steps=10", "training.log_every=3", "training.evaluate_every=4")
    (outcome,) = training(trial).run()
    assert [row["step"] for row in outcome.history if "risks" in row] == [0, 3, 6, 9]
    assert [row["step"] for row in outcome.history if "scores" in row] == [4, 8, 10]
    assert outcome.steps == 10


def test_logged_risks_are_those_before_the_update(make_trial, training) -> None:
    """After as many updates as the row says: step 0 is the initial network."""
    trial = make_trial("method=irmv1", "training.steps=4", "training.evaluate_every=1")
    run = training(trial)
    data, p = trial.dataset.draw(trial.seed, NOWHERE), arrays(run)
    initial = [scores_by_numpy(p, x, y)[0] for x, y in zip(data.inputs, data.labels, strict=True)]
    (outcome,) = run.run()
    logged = {row["step"]: row["risks"] for row in outcome.history if "risks" in row}
    assert logged[0] == pytest.approx(initial)
    for row in outcome.history:
        if "scores" in row and row["step"] in logged:
            assert [s["risk"] for s in row["scores"]["train"].values()] == pytest.approx(logged[row["step"]])


def test_no_steps_evaluates_the_initial_network(make_trial, training) -> None:
    trial = make_trial("training.steps=0")
    run = training(trial)
    start = arrays(run)
    (outcome,) = run.run()
    assert outcome.metrics["last"]["step"] == outcome.steps == 0
    assert all(np.array_equal(value, start[name]) for name, value in arrays(run).items())


# Number formats, batches, divergence, stacks.


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_precision_is_that_of_parameters_inputs_and_optimizer(precision: str, make_trial, training) -> None:
    run = training(make_trial(f"training.precision={precision}", "training.steps=2"))
    run.run()
    dtype = getattr(torch, precision)
    tensors, _ = run.state(0)
    floats = [t for name, t in tensors.items() if name != "diverged_at" and not name.endswith("/step")]
    assert len(floats) == 18, "6 parameters and Adam's two moments of each"
    assert {t.dtype for t in (*floats, run.data.batch(0, 0, 1).inputs, run.data.batch(0, 0, 1).labels)} == {dtype}


def test_float32_is_close_to_float64(make_trial, training) -> None:
    results = [training(make_trial(f"training.precision={p}")).run()[0] for p in ("float32", "float64")]
    one, other = (r.metrics["last"]["scores"]["test"]["0.1"]["risk"] for r in results)
    assert one != other
    assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("method", ["erm", "irmv1", "vrex", "invrat_ec", "meta_irm"])
def test_bf16_is_float32_but_for_the_layers_products(method: str, make_trial, training) -> None:
    """Parameters, optimizer state, losses and evaluations stay float32; risks agree to bfloat16's three digits."""
    runs = {p: training(make_trial(f"method={method}", f"training.precision={p}")) for p in ("float32", "bf16")}
    found = {p: run.run()[0] for p, run in runs.items()}
    assert {t.dtype for t in runs["bf16"].parameters.tensors().values()} == {torch.float32}
    first = {p: outcome.history[0] for p, outcome in found.items()}
    for key, value in first["float32"].items():
        assert first["bf16"][key] == pytest.approx(value, rel=2e-2, abs=2e-2), key
    one, other = (outcome.metrics["last"]["scores"]["test"]["0.1"]["risk"] for outcome in found.values())
    assert one != other, "it does round"
    assert one == pytest.approx(other, rel=0.05)


@pytest.mark.parametrize(("n", "size"), [(10, 3), (12, 4), (7, 7), (5, 1)])
def test_an_epoch_sees_each_image_once_at_most(n: int, size: int) -> None:
    batches = Minibatches(Draws(3), [n, n], size)
    per_epoch = n // size
    epochs = []
    for epoch in range(3):
        seen = np.stack([batches.at(epoch * per_epoch + i).reshape(2, size) for i in range(per_epoch)])
        for e in range(2):
            rows = seen[:, e].ravel()
            assert len(set(rows)) == per_epoch * size
            assert rows.min() >= e * n
            assert rows.max() < (e + 1) * n
        epochs.append(seen)
    assert size * per_epoch == 1 or not all(np.array_equal(epochs[0], other) for other in epochs[1:])


def test_batches_do_not_depend_on_what_was_asked_before() -> None:
    straight, other = (Minibatches(Draws(3), [10, 7], 3) for _ in range(2))
    expected = [straight.at(step) for step in range(12)]
    for step in (11, 2, 5, 0, 11):
        assert np.array_equal(other.at(step), expected[step])


def test_a_batch_of_everything_is_the_full_batch(make_trial, training) -> None:
    digests = {
        training(make_trial(f"training.batch_size={size}")).run()[0].parameters_sha256 for size in ("60", "500", "null")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_divergence_is_seen_even_in_the_last_update(steps: int, make_trial, training) -> None:
    trial = make_trial("optimizer=sgd", "optimizer.lr=1e200", f"training.steps={steps}")
    (outcome,) = training(trial).run()
    assert outcome.diverged_at == outcome.steps == 1
    assert outcome.metrics == {}
    assert not any(isinstance(v, float) and not math.isfinite(v) for row in outcome.history for v in row.values())


def test_a_lost_trial_stays_lost_after_a_resume(make_trial, training) -> None:
    """When it diverged is part of the state: its objective may well be finite again."""
    trials = [make_trial("optimizer=sgd", f"training.l2={l2}", "training.steps=10") for l2 in ("0", "1e200")]
    run, resumed = training(*trials), training(*trials)
    for _ in range(5):
        run._advance()
    states = [run.state(i) for i in range(2)]
    with torch.no_grad():
        for name in (n for n in states[1][0] if n.startswith("parameters/")):
            states[1][0][name].zero_()
    resumed.restore(states)
    assert [outcome.diverged_at for outcome in resumed.run()] == [None, 1]


def test_outcomes_come_in_the_order_of_the_trials(make_trial, training) -> None:
    """Though a stack sorts them by learning rate."""
    trials = [make_trial(f"optimizer.lr={lr}") for lr in ("0.1", "0.001", "0.03")]
    risks = [
        [outcome.history[-2]["objective/model"] for outcome in training(*order).run()]
        for order in (trials, trials[::-1])
    ]
    assert risks[0] == risks[1][::-1]
    solo = [training(trial).run()[0].history[-2]["objective/model"] for trial in trials]
    assert risks[0] == pytest.approx(solo)
    assert len(set(solo)) == 3


def test_trials_of_different_shape_do_not_stack(make_trial, training) -> None:
    with pytest.raises(ValueError, match="cannot form one stack"):
        training(make_trial(), make_trial("backbone.width=9"))


@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_the_state_of_single_numbers_survives(optimizer: type) -> None:
    """A parameter without axes, like a temperature, must not be taken for the optimizer's step count."""
    settings: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.0}
    settings |= {"betas": (0.9, 0.99), "eps": 1e-8} if optimizer is Adam else {"momentum": 0.9, "nesterov": False}
    initial = [{"a": torch.tensor(float(i)), "b": torch.ones(3) * i} for i in range(3)]

    def stacked() -> StackedParameters:
        own = [optimizer(**settings)] * 2 + [optimizer(**{**settings, "lr": 0.3})]
        return StackedParameters(initial, {"model": ["a", "b"]}, own, {"model": Pace()})

    def step(p: StackedParameters) -> None:
        t = p.tensors()
        p.move({"model": (t["a"] - 3) ** 2 + ((t["b"] - 1) ** 2).sum(1)})

    straight, start = stacked(), stacked()
    for _ in range(3):
        step(start)
    resumed = stacked()
    resumed.restore([start.state_of(i) for i in range(3)], {})
    for _ in range(3):
        step(resumed)
    for _ in range(6):
        step(straight)
    for name, value in straight.tensors().items():
        assert torch.equal(value, resumed.tensors()[name])


def test_metrics_hold_every_rule_that_can_say(make_trial, training) -> None:
    (with_val,) = training(make_trial("dataset.n_val=10")).run()
    (without,) = training(make_trial()).run()
    assert set(with_val.metrics) == set(RULES)
    assert set(without.metrics) == set(RULES) - {"val"}
