"""SparseIRM, ZIN, IRM-TV and RFC against their equations, written apart with autograd and numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from commands import launch
from irm_sweeps import UserError
from irm_sweeps.backbones.backbone import Backbone
from irm_sweeps.methods.sparse_irm import projected
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import advance
from irm_sweeps.training.loop import StackTraining

PLAIN = ["optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0.1", "training.l2=0.001"]
Tensors = dict[str, Tensor]


def start(run: StackTraining) -> Tensors:
    """The first trial's parameters, with gradients, and apart from the run's."""
    return {name: t[0].detach().clone().requires_grad_() for name, t in run.parameters.tensors().items()}


def images(run: StackTraining) -> tuple[Tensor, Tensor]:
    batch = run.data.batch(0, 0, 1)
    return batch.inputs[0], batch.labels[0]


def logits(run: StackTraining, parameters: Tensors, inputs: Tensor) -> Tensor:
    return run.model.classify(parameters, run.model.represent(parameters, inputs))


def descended(values: Tensors, loss: Tensor, lr: float) -> Tensors:
    gradients = torch.autograd.grad(loss, list(values.values()), retain_graph=True)
    pairs = zip(values.items(), gradients, strict=True)
    return {name: (value - lr * gradient).detach().requires_grad_() for (name, value), gradient in pairs}


def l2(parameters: Tensors) -> Tensor:
    return 0.001 * torch.stack([p.square().sum() for p in parameters.values()]).sum()


def dummy_gradient(losses_at: Any) -> Tensor:
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(losses_at(w), w, create_graph=True)[0]


def nearest(values: np.ndarray[Any, Any], budget: float) -> np.ndarray[Any, Any]:
    """Return the projection on {0 <= s <= 1, sum s <= budget}; the sum is linear between its break points."""
    if values.clip(0, 1).sum() <= budget:
        return values.clip(0, 1)
    breaks = np.unique(np.concatenate([values, values - 1]))
    sums = np.array([(values - v).clip(0, 1).sum() for v in breaks])
    return (values - np.interp(budget, sums[::-1], breaks[::-1])).clip(0, 1)


@pytest.mark.parametrize("budget", [0.0, 3.0, 20.0, 45.0])
def test_the_projection_is_the_nearest_point(budget: float) -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 60)
    found = projected(torch.tensor(values), torch.tensor(budget, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(found, nearest(values, budget), atol=1e-9)
    assert found.sum() <= budget + 1e-9


@pytest.mark.parametrize("penalty", ["irmv1", "vrex"])
def test_sparse_irm_trains_weights_and_their_probabilities(
    penalty: str, make_trial: MakeTrial, training: Train
) -> None:
    fields = {"penalty": penalty, "anneal": 4, "kept": 0.5, "sparse_from": 0.2, "sparse_until": 0.6}
    own = [f"method.{name}={value}" for name, value in {**fields, "scores_lr_scale": 20000}.items()]
    small = ["lam=5", "training.steps=10", "backbone.width=4", "dataset.n_train=30"]
    run = training(make_trial("method=sparse_irm", *PLAIN, *own, *small))
    x, y = images(run)
    parameters = {name: t for name, t in start(run).items() if not name.startswith("state.")}
    scores = {n: torch.ones_like(p).requires_grad_() for n, p in parameters.items() if p.ndim > 1}
    for step in range(10):
        noise = {name.removeprefix("state.score."): u[0] for name, u in run.noise().items()}
        assert set(noise) == set(scores)
        masked = dict(parameters)
        for name, s in scores.items():
            certain = (s <= 0) | (s >= 1)
            safe, u = torch.where(certain, 0.5, s), noise[name]
            steepness = 1 / ((1 - 0.03) * (1 - step / 10) + 0.03)
            relaxed = torch.sigmoid(steepness * ((safe / (1 - safe)).log() + (u / (1 - u)).log()))
            masked[name] = parameters[name] * torch.where(certain, s.detach(), relaxed)
        z, halves = logits(run, masked, x), (slice(0, 30), slice(30, 60))
        risks = torch.stack([F.binary_cross_entropy_with_logits(z[half], y[half]) for half in halves])
        norms = [
            dummy_gradient(lambda w, h=half, z=z: F.binary_cross_entropy_with_logits(w * z[h], y[h])).square()
            for half in halves
        ]
        weight = 5.0 if step >= 4 else 0.0
        added = sum(norms) / 2 if penalty == "irmv1" else risks.var(correction=0)
        loss = (risks.mean() + l2(parameters) + weight * added) / (1 + weight if weight > 1 else 1)
        parameters = descended(parameters, loss, 0.1)
        if step >= 2:
            scores = descended(scores, loss, 2000.0)
            share = 0.5 + 0.5 * (1 - min((step + 1 - 2) / 4, 1)) ** 3
            flat = torch.cat([s.detach().flatten() for s in scores.values()]).numpy()
            new = torch.from_numpy(nearest(flat, share * len(flat))).split([s.numel() for s in scores.values()])
            pairs = zip(scores.items(), new, strict=True)
            scores = {name: own.reshape(s.shape).requires_grad_() for (name, s), own in pairs}
        advance(run, 1)
    found = start(run)
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter, rtol=1e-7, atol=1e-9)
    for name, s in scores.items():
        torch.testing.assert_close(found[f"state.score.{name}"] + found[f"state.offset.{name}"], s, rtol=0, atol=1e-7)
    every = torch.cat([s.flatten() for s in scores.values()])
    assert ((every > 0) & (every < 1)).any()
    assert (every == 0).any()
    kept = {name: p * (scores[name] > 0.5) if name in scores else p for name, p in parameters.items()}
    predicted = run.trials[0].method.predict(run.model, found, x)
    torch.testing.assert_close(predicted, logits(run, kept, x), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", ["zin", "irm_tv"])
def test_zin_infers_environments_from_side_information(method: str, make_trial: MakeTrial, training: Train) -> None:
    fields = {"anneal": 12, "hidden_dim": 5, "adversary_lr_scale": 10}
    own = [f"method.{name}={value}" for name, value in fields.items()]
    unlike = ["dataset.p_e=[0,0.5]", "dataset.label_noise=[0,0.5]", "dataset.side=time"]
    run = training(make_trial(f"method={method}", *PLAIN, *own, *unlike, "lam=5", "optimizer.lr=0.8"))
    signs = torch.tensor([[1.0], [-1], [1], [-1], [1]], dtype=torch.float64)
    run.parameters.assign({"adversary.0.weight": signs[None], "adversary.2.weight": signs.T[None]})
    x, y = images(run)
    z = torch.arange(len(y), dtype=torch.float64)
    z = ((z - z.mean()) / z.std()).unsqueeze(-1)
    every = start(run)
    rho = {name: t for name, t in every.items() if name.startswith("adversary.")}
    model = {name: t for name, t in every.items() if name not in rho}
    for step in range(16):
        hidden = (z @ rho["adversary.0.weight"].T + rho["adversary.0.bias"]).clamp(min=0)
        q = torch.sigmoid(hidden @ rho["adversary.2.weight"].T + rho["adversary.2.bias"]).squeeze(-1)
        out = logits(run, model, x)

        def gradient(members: Tensor, out: Tensor = out) -> Tensor:
            return dummy_gradient(
                lambda w: (members * F.binary_cross_entropy_with_logits(w * out, y, reduction="none")).mean()
            )

        one, other = gradient(q), gradient(1 - q)
        penalty = one**2 + other**2 if method == "zin" else (one.abs() + other.abs()) ** 2
        risk = F.binary_cross_entropy_with_logits(out, y) + l2(model)
        if step < 12:
            rho, model = descended(rho, -penalty, 8.0), descended(model, risk, 0.8)
        else:
            model = descended(model, (risk + 5 * penalty) / 6, 0.8)
    advance(run, 16)
    for name, tensor in start(run).items():
        torch.testing.assert_close(tensor, {**rho, **model}[name], rtol=1e-8, atol=1e-7)
    assert not torch.equal(rho["adversary.0.weight"], every["adversary.0.weight"])


def test_zin_says_what_side_information_it_lacks(make_trial: MakeTrial, training: Train) -> None:
    with pytest.raises(UserError, match="ZIN needs side information"):
        training(make_trial("method=zin"))
    with pytest.raises(UserError, match=r"method\.z_dim=2: the side information has 1 column; give method\.z_dim=1"):
        training(make_trial("method=zin", "method.z_dim=2", "dataset.side=time")).run()


def test_a_sweep_without_side_information_is_refused(tmp_path: Path) -> None:
    answer = launch("-m", "method=zin,erm", "dataset.source=embedded", f"results={tmp_path}")
    assert answer.code == 2
    assert "1 of 2 trials cannot run, so none was started" in answer.err
    assert "ZIN needs side information of the training images" in answer.err
    assert "dataset.side=time" in answer.err


def test_a_sweep_with_another_number_of_columns_is_refused(tmp_path: Path) -> None:
    words = ["method=zin", "method.z_dim=1,2", "dataset.side=time", "dataset.source=embedded"]
    answer = launch("-m", *words, f"results={tmp_path}", "plan=true")
    assert answer.code == 2
    assert "1 of 2 trials cannot run, so none was started" in answer.err
    assert "method.z_dim=2: the side information has 1 column; give method.z_dim=1" in answer.err


def test_colored_mnist_gives_side_information(make_trial: MakeTrial, training: Train) -> None:
    """Positions in time, or numbers of environments; drawn as before otherwise."""
    drawn = {
        side: training(make_trial(f"dataset.side={side}", "dataset.n_train=4")).data.batch(0, 0, 1)
        for side in ("none", "time", "environment")
    }
    assert drawn["none"].side is None
    assert drawn["time"].side[0, :, 0].tolist() == [k / 8 for k in range(8)]
    assert drawn["environment"].side[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert all(torch.equal(batch.inputs, drawn["none"].inputs) for batch in drawn.values())


@pytest.mark.parametrize("frozen", ["false", "true"])
def test_rfc_discovers_twice_synthesises_and_trains_irmv1(frozen: str, make_trial: MakeTrial, training: Train) -> None:
    fields = {"discovery_steps": 4, "second_discovery_steps": 9, "synthesis_steps": 5, "frozen": frozen}
    own = [f"method.{name}={value}" for name, value in fields.items()]
    run = training(make_trial("method=rfc", *PLAIN, *own, "lam=5", "training.steps=22"))
    x, y = images(run)
    every = start(run)
    second = {name: t for name, t in every.items() if name.startswith("second.")}
    model = {name: t for name, t in every.items() if not name.startswith(("second.", "state."))}

    def anew(stage: str) -> Tensors:
        drawn = run.networks.fresh(0, stage)
        return {name: drawn[name].double().requires_grad_() for name in model}

    def loss(p: Tensors, labels: Tensor, members: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits(run, p, x[members]), labels[members])

    everything = torch.ones_like(y, dtype=torch.bool)
    for _ in range(4):
        model = descended(model, loss(model, y, everything) + l2(model), 0.1)
    first = logits(run, model, x) > 0
    right = first == (y > 0.5)
    model = anew("second_discovery")
    for _ in range(9):
        model = descended(model, max(loss(model, y, right), loss(model, y, ~right)) + l2(model), 0.1)
    other = logits(run, model, x) > 0
    alike = right == (other == (y > 0.5))
    assert all(2 < int(part.sum()) < len(y) - 2 for part in (right, alike))
    model = anew("synthesis")
    for _ in range(5):
        both = {**model, **second}
        with_second = {**model, **{name.replace("second.", "head."): t for name, t in second.items()}}
        tasks = [(model, first.double()), (with_second, other.double())]
        parts = [loss(p, labels, members) for p, labels in tasks for members in (alike, ~alike)]
        both = descended(both, sum(parts, torch.zeros(())) / 4 + l2(both), 0.1)
        model, second = {name: both[name] for name in model}, {name: both[name] for name in second}
    for name in ("weight", "bias"):
        model[f"head.{name}"] = ((model[f"head.{name}"] + second[f"second.{name}"]) / 2).detach().requires_grad_()
    for _ in range(4):
        z = logits(run, model, x)
        risks, penalty = torch.zeros(()), torch.zeros(())
        for half in (slice(0, 60), slice(60, 120)):
            risks = risks + F.binary_cross_entropy_with_logits(z[half], y[half])
            gradient = dummy_gradient(lambda w, h=half, z=z: F.binary_cross_entropy_with_logits(w * z[h], y[h]))
            penalty = penalty + gradient.square() / 2
        new = descended(model, (risks + l2(model) + 5 * penalty) / 5, 0.1)
        model = {name: new[name] if frozen == "false" or name.startswith("head.") else model[name] for name in model}
    advance(run, 22)
    for name, tensor in {**model, **second}.items():
        torch.testing.assert_close(start(run)[name], tensor, rtol=1e-8, atol=1e-8)


class Normalised(Backbone):
    """One hidden layer with batch norm, whose running averages are half of each batch's statistics."""

    stacks: ClassVar[bool] = False

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        representation = nn.Sequential(nn.Linear(features[0], 8), nn.BatchNorm1d(8, momentum=0.5), nn.ReLU())
        head = nn.Linear(8, outputs)
        for parameter in (*representation[0].parameters(), *head.parameters()):
            nn.init.normal_(parameter, std=0.1, generator=generator)
        return representation, head


AVERAGES = "buffer.representation.1.running_mean"


@pytest.mark.parametrize("method", ["rfc", "eiil"])
def test_a_network_that_is_drawn_anew_has_no_averages_of_the_former_one(
    method: str, make_trial: MakeTrial, training: Train
) -> None:
    """Nor does RFC's prediction of all images, which is that of an evaluation, change them or normalise by a batch."""
    stages = {
        "rfc": ["method.discovery_steps=3", "method.second_discovery_steps=2", "method.synthesis_steps=2"],
        "eiil": ["method.reference_steps=3", "method.inference_steps=2", "method.anneal=1"],
    }
    trial = make_trial(f"method={method}", *stages[method])
    trial = trial.model_copy(update={"backbone": Normalised.model_validate({})})
    run = training(trial)
    drawn_anew = 3 if method == "rfc" else 5
    advance(run, drawn_anew)
    before = {name: tensor[0].detach().clone() for name, tensor in run.parameters.tensors().items()}
    images = run.data.batch(0, 0, 1).inputs[0]
    run.model.train(False)
    predicted = (run.model.classify(before, run.model.represent(before, images)) > 0).to(images.dtype)
    run.model.train(True)
    assert before[AVERAGES].abs().sum() > 0
    run.begin_stages()
    after = run.parameters.tensors()
    assert after[AVERAGES].abs().sum() == 0
    assert (after[AVERAGES.replace("mean", "var")] == 1).all()
    assert not torch.equal(after["head.weight"][0], before["head.weight"])
    if method == "rfc":
        assert torch.equal(after["state.first_prediction"][0], predicted)
    advance(run, 1)
    assert run.parameters.tensors()[AVERAGES].abs().sum() > 0, "and goes on in training mode"
