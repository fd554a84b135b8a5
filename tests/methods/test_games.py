"""Games and penalties against their equations, written in plain torch and numpy."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from contracts import parameters
from irm_sweeps.conf_folders import conf_dir
from irm_sweeps.errors import UserError
from irm_sweeps.training.loop import StackTraining

THREE = ["dataset.p_e=[0.2,0.1,0.4]", "dataset.label_noise=[0.25,0.25,0.2]", "backbone.init=torch", "lam=7"]

P = dict[str, Tensor]


def game(make_trial: Any, training: Any, *overrides: str, steps: int = 3) -> StackTraining:
    """A solo training of three environments after a few steps: no two parameter sets are alike."""
    run = training(make_trial(*overrides, *THREE, "training.l2=0"))
    for _ in range(steps):
        run._advance()
    return run


def environments(run: StackTraining) -> list[tuple[Tensor, Tensor]]:
    batch = run.data.batch(0, 0, 1)
    x, y = batch.inputs, batch.labels
    return list(zip(x[0].chunk(3), y[0].chunk(3), strict=True))


def turn(run: StackTraining, *players: str) -> dict[str, float]:
    """What each player minimises."""
    scene = run.scene(run.data.batch(0, 0, 1), run.noise())
    return {p: v.item() for p, v in run.game.turn(players, run.parameters.tensors(), scene).objectives.items()}


def hidden(p: P, x: Tensor, prefix: str = "") -> Tensor:
    for layer in ("representation.0", "representation.2"):
        x = torch.relu(x @ p[f"{prefix}{layer}.weight"].T + p[f"{prefix}{layer}.bias"])
    return x


def logit(p: P, x: Tensor, prefix: str = "", body: str = "") -> Tensor:
    return (hidden(p, x, body) @ p[f"{prefix}head.weight"].T + p[f"{prefix}head.bias"])[:, 0]


def bce(z: Tensor, y: Tensor) -> Tensor:
    return (F.softplus(z) - y * z).mean()


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


# IRM Games: player e minimises the risk of its environment under the mean of all classifiers.


@pytest.mark.parametrize("variant", ["v", "f"])
def test_irm_games(variant: str, make_trial, training) -> None:
    run = game(make_trial, training, "method=irm_games", f"method.variant={variant}", steps=6)
    p = parameters(run)

    def ensemble(x: Tensor) -> Tensor:
        own = ["", "player.1.", "player.2."]
        return mean_of([logit(p, x, e, e if variant == "f" else "") for e in own])

    def mean_of(votes: list[Tensor]) -> Tensor:
        return torch.stack(votes).mean(0)

    risks = [bce(ensemble(x), y).item() for x, y in environments(run)]
    assert list(turn(run, "environment_0", "environment_1", "environment_2").values()) == pytest.approx(risks)
    if variant == "v":
        assert turn(run, "representation")["representation"] == pytest.approx(sum(risks))
        pooled = game(make_trial, training, "method=irm_games", "method.risk=images", steps=0)
        p = parameters(pooled)
        risks = [bce(ensemble(x), y).item() for x, y in environments(pooled)]
        assert turn(pooled, "representation")["representation"] == pytest.approx(sum(risks) / 3), "equally many"
        p = parameters(run)
    x, _ = environments(run)[0]
    predicted = run.trials[0].method.predict(run.model, p, x)
    torch.testing.assert_close(predicted, ensemble(x))
    assert (predicted - logit(p, x)).abs().max() > 1e-3, "no single player's"


def test_the_released_game_warms_up_and_spares_the_classifiers_l2(make_trial, training) -> None:
    """lin2021's IRMGame: first the representation and one classifier on the ensemble's pooled risk, then the game."""
    fields = ["method.order=simultaneous", "method.classifier_l2=false", "method.warm_up=2"]
    run = training(make_trial("method=irm_games", *fields, *THREE, "training.l2=0.01"))
    for step in range(4):
        before = parameters(run)
        squares = 0.01 * sum(p.square().sum().item() for p in before.values())
        risks = [
            bce(torch.stack([logit(before, x, e) for e in ("", "player.1.", "player.2.")]).mean(0), y).item()
            for x, y in environments(run)
        ]
        warm = step < 2
        assert turn(run, "representation", "environment_0") == pytest.approx(
            {"representation": sum(risks) + squares, "environment_0": sum(risks) + squares if warm else risks[0]}
        )
        run._advance()
        moved = {name for name, value in parameters(run).items() if not torch.equal(value, before[name])}
        assert any(name.startswith("player.") for name in moved) is not warm
        assert {"head.weight", "representation.0.weight"} <= moved


def test_the_released_game_is_that_of_its_code(make_trial, training) -> None:
    """lin2021's code: warm-up, all heads copies of an untrained one, then head after head, then the representation."""
    lr, momentum, l2, weight, warm_up = 0.1, 0.9, 0.01, 0.25, 2
    released = yaml.safe_load((conf_dir() / "protocol/method/released_irm_games.yaml").read_text())
    fields = {**released, "warm_up": warm_up, "representation_weight": weight}
    own = ["method=irm_games", *(f"method.{name}={json.dumps(value)}" for name, value in fields.items())]
    plain = ["optimizer=sgd", f"optimizer.lr={lr}", f"optimizer.momentum={momentum}", f"training.l2={l2}"]
    run = training(make_trial(*own, *plain, *THREE))
    data = environments(run)
    everything = [torch.cat(parts) for parts in zip(*data, strict=True)]
    prefixes = ["", "player.1.", "player.2."]
    p = {name: value.clone().requires_grad_() for name, value in parameters(run).items()}
    heads = [[name for name in p if name.startswith(prefix + "head.")] for prefix in prefixes]
    body = [name for name in p if name.startswith("representation.")]
    speed = {name: torch.zeros_like(value) for name, value in p.items()}

    def step(names: list[str], objective: Tensor) -> None:
        for name, gradient in zip(names, torch.autograd.grad(objective, [p[n] for n in names]), strict=True):
            speed[name] = momentum * speed[name] + gradient
            p[name] = (p[name] - lr * speed[name]).detach().requires_grad_()

    def risk(x: Tensor, y: Tensor) -> Tensor:
        return bce(torch.stack([logit(p, x, prefix) for prefix in prefixes]).mean(0), y)

    def squares() -> Tensor:
        return sum(
            (value.square().sum() for name, value in p.items() if not name.startswith("state.")), torch.zeros(())
        )

    for done in range(5):
        if done == warm_up:
            for prefix in prefixes:
                for name in ("head.weight", "head.bias"):
                    p[prefix + name] = p[f"state.{name}"].detach().clone().requires_grad_()
        if done < warm_up:
            step([*body, *heads[0]], risk(*everything) + l2 * squares())
        else:
            for names, (x, y) in zip(heads, data, strict=True):
                step(names, risk(x, y))
            step(body, weight * (risk(*everything) + l2 * squares()))
        run._advance()
    for name, value in parameters(run).items():
        torch.testing.assert_close(value, p[name].detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("field", ["warm_up=3", "forget_warm_up=true"])
def test_a_warm_up_of_another_game_is_refused(field: str, make_trial) -> None:
    with pytest.raises(UserError, match=rf"(?i)method\.{field}.*method\.order=sequential"):
        make_trial("method=irm_games", f"method.{field}")


# InvRat: min over the model, max over the adversary of R + lam (R - R_adversary).


@pytest.mark.parametrize("on", ["hidden", "output"])
def test_invrat_ec(on: str, make_trial, training) -> None:
    run = game(make_trial, training, "method=invrat_ec", f"method.on={on}", "method.anneal=2", steps=6)
    p = parameters(run)
    shared, own = [], []
    for e, (x, y) in enumerate(environments(run)):
        shared.append(bce(logit(p, x), y))
        if on == "hidden":
            z = (hidden(p, x) @ p["adversary.weight"][e].T + p["adversary.bias"][e])[:, 0]
        else:
            z = logit(p, x) * p["adversary.scale"][e] + p["adversary.bias"][e]
        own.append(bce(z, y))
    risk, adversary = mean(shared).item(), mean(own).item()
    assert turn(run, "adversary")["adversary"] == pytest.approx(adversary)
    expected = risk + 7 * (risk - adversary)
    assert turn(run, "representation", "head") == pytest.approx({"representation": expected, "head": expected})
    assert risk != pytest.approx(adversary, rel=1e-5)


def test_invrat_eb(make_trial, training) -> None:
    run = game(make_trial, training, "method=invrat_eb", "method.anneal=2", "method.emb_dim=5", steps=6)
    p = parameters(run)
    shared, own = [], []
    for e, (x, y) in enumerate(environments(run)):
        shared.append(bce(logit(p, x), y))
        known = torch.cat([hidden(p, x), p["adversary.embedding"][e].expand(len(x), 5)], dim=1)
        inner = torch.relu(known @ p["adversary.0.weight"].T + p["adversary.0.bias"])
        own.append(bce((inner @ p["adversary.2.weight"].T + p["adversary.2.bias"])[:, 0], y))
    risk, adversary = mean(shared).item(), mean(own).item()
    assert turn(run, "adversary")["adversary"] == pytest.approx(adversary)
    assert turn(run, "head")["head"] == pytest.approx(risk + 7 * (risk - adversary))


def test_the_environment_heads_start_as_copies(make_trial, training) -> None:
    run = game(make_trial, training, "method=invrat_ec", "method.anneal=3", steps=3)
    seen = {}
    move = run.parameters.move

    def first_move(objectives: Any, combine: Any) -> None:
        seen.setdefault("start", parameters(run))
        move(objectives, combine)

    run.parameters.move = first_move
    run._advance()
    for e in range(3):
        assert torch.equal(seen["start"]["adversary.weight"][e], seen["start"]["head.weight"])
    assert not torch.equal(parameters(run)["adversary.weight"][0], parameters(run)["adversary.weight"][1])


# Meta-IRM: sum over i of the risks elsewhere after a gradient step on i, plus lam times their spread.


@pytest.mark.parametrize(("steps", "same"), [(1, "false"), (2, "false"), (1, "true")])
def test_meta_irm(steps: int, same: str, make_trial, training) -> None:
    settings = [f"method.inner_steps={steps}", f"method.same_env={same}", "method.inner_lr=0.3"]
    run = game(make_trial, training, "method=meta_irm", *settings)
    theta = parameters(run)
    data, meta = environments(run), []
    for i, (x, y) in enumerate(data):
        adapted = theta
        for _ in range(steps):
            leaves = {name: t.detach().requires_grad_() for name, t in adapted.items()}
            gradients = torch.autograd.grad(bce(logit(leaves, x), y), list(leaves.values()))
            adapted = {n: t.detach() - 0.3 * g for (n, t), g in zip(leaves.items(), gradients, strict=True)}
        judges = [i] if same == "true" else [j for j in range(3) if j != i]
        meta += [bce(logit(adapted, data[j][0]), data[j][1]).item() for j in judges]
    assert turn(run, "model")["model"] == pytest.approx(sum(meta) + 7 * np.std(meta), rel=1e-9)


# The others.


def test_groupdro_is_exponentiated_gradient(make_trial, training) -> None:
    """q_e *= exp(eta R_e), normalised, then the weighted risk: DomainBed's update."""
    run = game(make_trial, training, "method=groupdro", "method.eta=5", steps=0)
    q, move = np.ones(3), run.parameters.move
    told: list[float] = []

    def watched(objectives: Any, combine: Any) -> None:
        told.extend(value.item() for player, value in objectives.items() if player == "model")
        move(objectives, combine)

    run.parameters.move = watched
    for _ in range(5):
        p = parameters(run)
        risks = np.array([bce(logit(p, x), y).item() for x, y in environments(run)])
        q = q * np.exp(5 * risks)
        q = q / q.sum()
        run._advance()
        assert told.pop() == pytest.approx(float(q @ risks))
    assert q.max() - q.min() > 0.01


def test_coral(make_trial, training) -> None:
    run = game(make_trial, training, "method=coral")
    p = parameters(run)
    h = [hidden(p, x).numpy() for x, _ in environments(run)]
    distances = [
        ((a.mean(0) - b.mean(0)) ** 2).mean() + ((np.cov(a.T) - np.cov(b.T)) ** 2).mean()
        for a, b in itertools.combinations(h, 2)
    ]
    risk = mean([bce(logit(p, x), y) for x, y in environments(run)]).item()
    scene = run.scene(run.data.batch(0, 0, 1), {})
    penalty = run.game.turn(["model"], run.parameters.tensors(), scene).log["penalty"].item()
    assert penalty == pytest.approx(np.mean(distances), rel=1e-10)
    assert turn(run, "model")["model"] == pytest.approx(risk + 7 * penalty)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_fishr(ema: float, make_trial, training) -> None:
    """The variance over images of each image's own gradient, taken one image at a time."""
    reduce = "mean" if ema else "sum"
    settings = [f"method.ema={ema}", f"method.reduce={reduce}", "method.anneal=0", "method.rescale=none"]
    run = game(make_trial, training, "method=fishr", *settings)
    p = parameters(run)
    variances = []
    for x, y in environments(run):
        rows = []
        for image, label in zip(hidden(p, x), y, strict=True):
            head = [p["head.weight"].clone().requires_grad_(), p["head.bias"].clone().requires_grad_()]
            loss = bce(image[None] @ head[0].T + head[1], label)
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, head)]))
        variances.append(torch.stack(rows).var(0, correction=0).numpy())
    v = np.stack(variances)
    if ema:
        v = (ema * p["state.gradient_variance"].numpy() + (1 - ema) * v) / (1 - ema)
    squares = (v - v.mean(0)) ** 2
    risk = mean([bce(logit(p, x), y) for x, y in environments(run)]).item()
    expected = risk + 7 * (squares.mean() if ema else squares.sum())
    assert turn(run, "model", *(["average"] if ema else []))["model"] == pytest.approx(expected)


def test_fishr_s_average_moves_by_its_decay(make_trial, training) -> None:
    run = game(make_trial, training, "method=fishr", "method.ema=0.9", steps=0)
    variance: list[Tensor] = []
    for step in range(3):
        before, at = parameters(run)["state.gradient_variance"], parameters(run)
        rows = []
        for x, y in environments(run):
            h = torch.cat([hidden(at, x), torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
            rows.append(((logit(at, x).sigmoid() - y)[:, None] * h).var(0, correction=0))
        variance.append(torch.stack(rows))
        run._advance()
        after = parameters(run)["state.gradient_variance"]
        torch.testing.assert_close(after, 0.9 * before + 0.1 * variance[step])


@pytest.mark.parametrize("what", ["features", "logits"])
@pytest.mark.parametrize("method", ["ib_erm", "ib_irm"])
def test_bottleneck(method: str, what: str, make_trial, training) -> None:
    fields = ["method.ib_anneal=0", "method.ib_lam=5", "method.form=squared"] if method == "ib_irm" else []
    run = game(make_trial, training, f"method={method}", f"method.bottleneck={what}", "method.anneal=0", *fields)
    p = parameters(run)
    spreads, risks, dummies = [], [], []
    for x, y in environments(run):
        z = logit(p, x)
        spreads.append((hidden(p, x) if what == "features" else z[:, None]).numpy().var(0, ddof=1).mean())
        w = torch.ones((), dtype=z.dtype, requires_grad=True)
        risks.append(bce(w * z, y))
        dummies.append(torch.autograd.grad(risks[-1], w)[0].item() ** 2)
    expected = mean(risks).item() + (7 * np.mean(spreads) if method == "ib_erm" else 5 * np.mean(spreads))
    expected += 7 * np.mean(dummies) if method == "ib_irm" else 0
    assert turn(run, "model")["model"] == pytest.approx(expected)


# Anneals.


@pytest.mark.parametrize(("reset", "forgotten"), [("true", {4, 6}), ("false", set())])
def test_ib_irm_forgets_adam_at_either_anneal(reset: str, forgotten: set[int], make_trial, training) -> None:
    """As DomainBed does: the step count of Adam's moments starts again where either weight sets in."""
    trial = make_trial("method=ib_irm", "method.anneal=4", "method.ib_anneal=6", f"method.reset_optimizer={reset}")
    run = training(trial)
    counts = []
    for _ in range(9):
        run._advance()
        counts.append(int(run.parameters.state_of(0)["model/head.weight/step"]))
    assert {step for step, count in enumerate(counts) if count == 1} == {0, *forgotten}


def test_trials_that_restart_at_other_steps_are_no_stack(make_trial) -> None:
    keys = {
        make_trial(
            "method=ib_irm", f"method.reset_optimizer={reset}", f"method.ib_anneal={at}", "method.anneal=3"
        ).stack_key
        for reset, at in (("true", 4), ("true", 5), ("false", 4), ("false", 5))
    }
    assert len(keys) == 3, "without a restart the anneal is a number like any other"


def test_tensors_are_reset_only_when_due(make_trial, training, monkeypatch) -> None:
    """A look at all parameters at every step would copy those of a stack with several learning rates."""
    trial = make_trial("method=invrat_ec", "method.anneal=3")
    run = training(trial)
    asked = []
    real = type(trial.method).enter
    monkeypatch.setattr(type(trial.method), "enter", lambda m, name, at: asked.append(run.step) or real(m, name, at))
    for _ in range(8):
        run._advance()
    assert asked == [0, 3], "where a stage begins"
