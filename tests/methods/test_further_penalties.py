"""IGA, IRMX, BIRM, CLOvE and EQRM against their equations, written with autograd, numpy or by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from irm_sweeps.methods.birm import BIRM, MULTIPLIERS
from irm_sweeps.methods.clove import CLOvE
from irm_sweeps.methods.eqrm import EQRM
from irm_sweeps.methods.iga import IGA
from irm_sweeps.methods.irmv1 import IRMv1
from irm_sweeps.methods.irmx import IRMX
from irm_sweeps.methods.method import Point
from small_games import CLASSES, Tensors, assert_same, by_environment, cross_entropy, hidden, method, ours, point

IRMV1 = {"on": "output", "dummy": "scalar", "form": "squared", "environments": "mean", "hidden_norm": "sum"}


def outputs_of(p: Tensors, x: Tensor) -> Tensor:
    return hidden(p, x) @ p["head.weight"].T + p["head.bias"]


@pytest.mark.parametrize("pool", ["sum", "mean"])
@pytest.mark.parametrize("outputs", CLASSES)
def test_iga_is_the_spread_of_the_gradients(outputs: int, pool: str) -> None:
    at = point(outputs, environments=3)

    def reference(p: Tensors) -> Tensor:
        gradients = [
            torch.cat([g.flatten() for g in torch.autograd.grad(risk, list(p.values()), create_graph=True)])
            for risk in (cross_entropy(outputs_of(p, x), y) for x, y in by_environment(at))
        ]
        mean = sum(gradients[1:], gradients[0]) / 3
        # DomainBed takes the mean as a constant. The gradient is the same, since the distances to it sum to 0.
        squares = torch.stack([(g - mean.detach()).square().sum() for g in gradients])
        return squares.sum() if pool == "sum" else squares.mean()

    assert_same(method(IGA, environments=pool), at, reference)


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("outputs", CLASSES)
def test_irmx_is_irmv1_plus_the_variance_of_the_risks(outputs: int, weight: float) -> None:
    at = point(outputs, environments=3, vrex_weight=weight)
    irmv1 = method(IRMv1)

    def reference(p: Tensors) -> Tensor:
        own = replace(at, parameters=p)
        risks = torch.stack([cross_entropy(outputs_of(p, x), y) for x, y in by_environment(at)])
        return ours(irmv1, own) + weight * risks.var()

    assert_same(method(IRMX, vrex_weight=weight, **IRMV1), at, reference)


def with_draws(at: Point, draws: int) -> Point:
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(draws, at.batch.environments, generator=generator, dtype=torch.float64)
    return replace(at, noise={MULTIPLIERS: uniform})


@pytest.mark.parametrize("form", ["squared", "even_odd"])
@pytest.mark.parametrize("outputs", CLASSES)
def test_birm_is_the_mean_over_dummy_classifiers(outputs: int, form: str) -> None:
    """The gradient is that of autograd at each w, drawn from N(1, .3^2)."""
    at = with_draws(point(outputs, environments=2, sd=0.3), draws=3)
    multipliers = 1 + 0.3 * torch.distributions.Normal(0, 1).icdf(at.noise[MULTIPLIERS])

    def reference(p: Tensors) -> Tensor:
        norms = []
        for draw in multipliers:
            for e, (x, y) in enumerate(by_environment(at)):
                w = draw[e].clone().requires_grad_()
                logits = outputs_of(p, x)
                halves = [slice(None)] * 2 if form == "squared" else [slice(0, None, 2), slice(1, None, 2)]
                one, two = (
                    torch.autograd.grad(cross_entropy(w * logits[rows], y[rows]), w, create_graph=True)[0]
                    for rows in halves
                )
                norms.append(one * two)
        return torch.stack(norms).mean()

    assert_same(method(BIRM, draws=3, sd=0.3, form=form), at, reference)


def test_birm_without_spread_is_irmv1() -> None:
    at = with_draws(point(1, sd=0.0), draws=4)
    assert ours(method(BIRM, draws=4, sd=0.0, form="squared"), at).item() == pytest.approx(
        ours(method(IRMv1), at).item()
    )


def mmce(probabilities: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], width: float) -> float:
    """Return the squared MMCE of `[n, k]` probabilities by its double sum."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    total = 0.0
    for i in range(len(labels)):
        for j in range(len(labels)):
            kernel = math.exp(-abs(confidence[i] - confidence[j]) / width)
            total += (correct[i] - confidence[i]) * (correct[j] - confidence[j]) * kernel
    return total / len(labels) ** 2


@pytest.mark.parametrize("outputs", CLASSES)
def test_clove_is_the_double_sum(outputs: int) -> None:
    at = point(outputs, environments=3)
    expected = []
    with torch.no_grad():
        for x, y in by_environment(at):
            logits = outputs_of(at.parameters, x)
            two = torch.cat([torch.zeros_like(logits), logits], 1) if outputs == 1 else logits
            expected.append(mmce(two.softmax(1).numpy(), y.numpy(), 0.4))
    assert ours(method(CLOvE, width=0.4), at).item() == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("lam", [0.0, 100.0])
@pytest.mark.parametrize("environments", [2, 4])
def test_eqrm_is_the_quantile_of_the_tail(environments: int, lam: float) -> None:
    at = point(1, environments, lam=lam)
    turn = EQRM(anneal=0, reset_optimizer=False).turn(at, ["model"])
    risks = turn.log["risks"].detach().numpy()
    bandwidth = 1.06 * risks.std(ddof=1) * environments**-0.2
    assert turn.objectives["model"].item() == pytest.approx(risks.mean() + bandwidth * math.sqrt(2 * lam))


def test_eqrm_s_tail_is_near_the_quantile_of_the_kernel_density() -> None:
    """At 1 - alpha = exp(-100), the release's approximation is within 3 % of the spread of the exact quantile."""
    risks, lam = np.array([0.4, 0.7]), 100.0
    bandwidth = 1.06 * risks.std(ddof=1) * 2**-0.2
    low, high = 0.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        tail = np.mean([math.erfc((middle - r) / bandwidth / math.sqrt(2)) / 2 for r in risks])
        low, high = (middle, high) if tail > math.exp(-lam) else (low, middle)
    approximate = risks.mean() + bandwidth * math.sqrt(2 * lam)
    assert approximate - risks.mean() == pytest.approx(low - risks.mean(), rel=0.06)


def test_equal_risks_have_a_finite_gradient_under_eqrm() -> None:
    at = point(1, environments=2)
    x, y = at.batch.inputs[:7], at.batch.labels[:7]
    same = replace(at, batch=replace(at.batch, inputs=torch.cat([x, x]), labels=torch.cat([y, y])))
    objective = EQRM(anneal=0, reset_optimizer=False).turn(same, ["model"]).objectives["model"]
    assert all(g.isfinite().all() for g in torch.autograd.grad(objective, list(same.parameters.values())))
