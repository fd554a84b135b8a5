"""Each penalty against the paper's equation, written with autograd or numpy: values and gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.errors import UserError
from irm_sweeps.methods.bottleneck import variance
from irm_sweeps.methods.irmv1 import IRMv1
from irm_sweeps.methods.method import Batch, Point
from irm_sweeps.methods.rex import RVP, MMREx, VREx
from small_games import CLASSES, Tensors, assert_same, by_environment, cross_entropy, hidden, method, ours, point

# IRMv1: || grad_w R^e(w o f) ||^2, with w an explicit leaf.


@pytest.mark.parametrize("pool", ["mean", "sum"])
@pytest.mark.parametrize("form", ["squared", "even_odd"])
@pytest.mark.parametrize("dummy", ["scalar", "vector"])
@pytest.mark.parametrize("outputs", CLASSES)
def test_irmv1_on_the_output(outputs: int, dummy: str, form: str, pool: str) -> None:
    def reference(p: Tensors) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for x, y in by_environment(at):
            w = torch.ones(outputs if dummy == "vector" else 1, dtype=torch.float64, requires_grad=True)
            logits = hidden(p, x) @ p["head.weight"].T + p["head.bias"]
            halves = [slice(None)] * 2 if form == "squared" else [slice(0, None, 2), slice(1, None, 2)]
            one, two = (
                torch.autograd.grad(cross_entropy(w * logits[rows], y[rows]), w, create_graph=True)[0]
                for rows in halves
            )
            total = total + (one * two).sum()
        return total / (at.batch.environments if pool == "mean" else 1)

    at = point(outputs, environments=3)
    assert_same(method(IRMv1, dummy=dummy, form=form, environments=pool), at, reference)


@pytest.mark.parametrize("pool", ["mean", "sum"])
@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("form", ["squared", "even_odd"])
@pytest.mark.parametrize("outputs", CLASSES)
def test_irmv1_on_the_hidden_layer(outputs: int, form: str, norm: str, pool: str) -> None:
    def reference(p: Tensors) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        head = (p["head.weight"], p["head.bias"])
        for x, y in by_environment(at):
            h = hidden(p, x)
            halves = [slice(None)] * 2 if form == "squared" else [slice(0, None, 2), slice(1, None, 2)]
            one, two = (
                torch.autograd.grad(cross_entropy(h[rows] @ head[0].T + head[1], y[rows]), head, create_graph=True)
                for rows in halves
            )
            for a, b in zip(one, two, strict=True):
                total = total + ((a * b).sum() if norm == "sum" else (a * b).mean())
        return total / (at.batch.environments if pool == "mean" else 1)

    at = point(outputs, environments=2)
    assert_same(method(IRMv1, on="hidden", hidden_norm=norm, form=form, environments=pool), at, reference)


def test_irmv1_by_hand() -> None:
    """Two images with logits 0 and 2, labels 1 and 0: mean of (sigmoid(z) - y) z is sigmoid(2)."""
    at = point(1, environments=1, n=2)
    logits = torch.tensor([0.0, 2.0], dtype=torch.float64)
    at.batch.labels.copy_(torch.tensor([1.0, 0.0]))
    penalty = method(IRMv1).penalty(at, at.features(), logits, at.risks(logits))
    assert penalty.item() == pytest.approx((1 / (1 + math.exp(-2))) ** 2)


def test_irmv1_vanishes_where_scaling_cannot_help() -> None:
    """At the optimal scale of every environment the penalty is 0: here p(y=1) = sigmoid(z) exactly."""
    at = point(1, environments=2, n=4)
    logits = torch.full((8,), math.log(3), dtype=torch.float64)
    at.batch.labels.copy_(torch.tensor([1.0, 1, 1, 0, 1, 1, 0, 1]))
    assert method(IRMv1).penalty(at, at.features(), logits, at.risks(logits)).item() == pytest.approx(0, abs=1e-30)


def test_even_odd_may_be_negative_and_is_unbiased() -> None:
    """Its mean over all orders of the images is the mean product of two different images' gradients."""
    at = point(1, environments=1, n=4)
    features, m = at.features(), method(IRMv1, form="even_odd")
    gradients = ((at.logits(features).sigmoid() - at.batch.labels) * at.logits(features)).detach()
    values = []
    for order in itertools.permutations(range(4)):
        rows = list(order)
        batch = Batch(at.batch.inputs[rows], at.batch.labels[rows], 1)
        values.append(ours(m, Point(at.model, at.parameters, batch, at.numbers, at.step, at.loss)).item())
    products = [(gradients[i] * gradients[j]).item() for i in range(4) for j in range(4) if i != j]
    assert np.mean(values) == pytest.approx(np.mean(products))
    batch.labels.copy_(torch.tensor([0.0, 1.0, 0.0, 1.0]))
    equal = torch.full((4,), 1.0, dtype=torch.float64)
    at = Point(at.model, at.parameters, batch, at.numbers, at.step, at.loss)
    assert m.penalty(at, features, equal, at.risks(equal)).item() < 0


@pytest.mark.parametrize("on", ["output", "hidden"])
@pytest.mark.parametrize("outputs", CLASSES)
def test_even_odd_of_one_image_is_the_squared_gradient(outputs: int, on: str) -> None:
    """There is no odd half; IRMBed squares the gradient of such an environment."""
    at = point(outputs, environments=3, n=1)
    m, squared = method(IRMv1, on=on, form="even_odd"), method(IRMv1, on=on, form="squared")
    assert ours(m, at).item() > 0
    assert_same(m, at, lambda p: ours(squared, Point(at.model, p, at.batch, at.numbers, at.step, at.loss)))


@pytest.mark.parametrize("bottleneck", ["features", "logits"])
def test_one_image_of_each_environment_has_no_variance(bottleneck: str) -> None:
    at = point(1, n=1)
    features = at.features()
    assert variance(at, features, at.logits(features), bottleneck).item() == 0


def test_irmv1_hidden_needs_a_linear_head() -> None:
    at = point(1)
    model = Model(nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 1)))
    parameters = {name: p.double() for name, p in model.initial().items()}
    at = Point(model, parameters, at.batch, at.numbers, at.step, at.loss)
    with pytest.raises(UserError, match=r"method\.on=hidden"):
        ours(method(IRMv1, on="hidden"), at)


# REx and RVP: functions of the risks.


def risks_of(p: Tensors, at: Point) -> Tensor:
    return torch.stack(
        [cross_entropy(hidden(p, x) @ p["head.weight"].T + p["head.bias"], y) for x, y in by_environment(at)]
    )


def pairs(r: Tensor) -> Tensor:
    return sum(((r[i] - r[j]) ** 2 for i in range(len(r)) for j in range(i)), torch.zeros((), dtype=r.dtype))


REFERENCES: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
    "squared_differences": (method(VREx, variance="squared_differences"), pairs),
    "population": (method(VREx, variance="population"), lambda r: r.var(correction=0)),
    "sample": (method(VREx, variance="sample"), lambda r: r.var(correction=1)),
    "mm_rex": (method(MMREx), lambda r: len(r) * r.max() - r.sum()),
    "rvp": (method(RVP), lambda r: r.var(correction=0).sqrt()),
}


@pytest.mark.parametrize("environments", [2, 3, 4])
@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("name", REFERENCES)
def test_spread_of_risks(name: str, outputs: int, environments: int) -> None:
    m, reference = REFERENCES[name]
    at = point(outputs, environments)
    assert_same(m, at, lambda p: reference(risks_of(p, at)))


def of_risks(m: Any, *risks: float) -> float:
    r = torch.tensor(risks, dtype=torch.float64)
    at = point(1)
    return m.penalty(at, torch.zeros(1), torch.zeros(1), r).item()


def test_two_environments_by_hand() -> None:
    """Risks 1 and 4: the difference is 3."""
    assert of_risks(REFERENCES["squared_differences"][0], 1, 4) == pytest.approx(9)
    assert of_risks(REFERENCES["population"][0], 1, 4) == pytest.approx(9 / 4)
    assert of_risks(REFERENCES["sample"][0], 1, 4) == pytest.approx(9 / 2)
    assert of_risks(method(MMREx), 1, 4) == of_risks(method(MMREx), 4, 1) == pytest.approx(3)
    assert of_risks(method(RVP), 1, 4) == pytest.approx(1.5)


@pytest.mark.parametrize("variance", ["squared_differences", "population", "sample"])
def test_vrex_is_numpy_s_variance(variance: str) -> None:
    risks = [0.3, 1.1, 0.2, 0.9]
    expected = {
        "squared_differences": 16 * np.var(risks),
        "population": np.var(risks),
        "sample": np.var(risks, ddof=1),
    }
    assert of_risks(method(VREx, variance=variance), *risks) == pytest.approx(expected[variance])


@pytest.mark.parametrize("weight", [1.0, 3.0, 100.0])
def test_mm_rex_is_the_papers_minimax(weight: float) -> None:
    """sum R + w * penalty is E times max over {sum q = 1, q_e >= l} of q . R, where l = (1 - w) / E."""
    risks = np.array([0.3, 1.1, 0.2])
    smallest = (1 - weight) / 3
    corners = [np.full(3, smallest) + (1 - 3 * smallest) * np.eye(3)[e] for e in range(3)]
    worst = max(q @ risks for q in corners)
    assert risks.sum() + weight * of_risks(method(MMREx), *risks) == pytest.approx(3 * worst)


@pytest.mark.parametrize("name", REFERENCES)
def test_equal_risks_have_no_penalty_and_a_finite_gradient(name: str) -> None:
    m, _ = REFERENCES[name]
    risks = torch.full((3,), 0.7, dtype=torch.float64, requires_grad=True)
    penalty = m.penalty(point(1), torch.zeros(1), torch.zeros(1), risks)
    (gradient,) = torch.autograd.grad(penalty, risks)
    assert penalty.item() == pytest.approx(0, abs=1e-15)
    assert gradient.isfinite().all()
    if name != "mm_rex":
        assert (gradient == 0).all()
    assert gradient.sum().item() == pytest.approx(0, abs=1e-12), "a common shift of the risks costs nothing"


# How a penalty enters the objective.


def objective(m: Any, at: Point) -> float:
    turn = m.turn(at, ["model"])
    assert list(turn.objectives) == ["model"]
    return turn.objectives["model"].item()


@pytest.mark.parametrize("risk", ["mean", "sum"])
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0, 40.0])
@pytest.mark.parametrize("rescale", ["none", "weight", "one_plus_weight", "one_plus_weight_above_one"])
def test_the_objective_by_arithmetic(rescale: str, lam: float, risk: str) -> None:
    m = method(VREx, rescale=rescale, risk=risk)
    at = point(1, environments=3, lam=lam, l2=0.01)
    with torch.no_grad():
        risks = risks_of(at.parameters, at).numpy()
        squares = sum((p**2).sum().item() for p in at.parameters.values())
    loss = (risks.sum() if risk == "sum" else risks.mean()) + 0.01 * squares + lam * risks.var()
    divisor = {
        "none": 1,
        "weight": lam if lam > 1 else 1,
        "one_plus_weight": 1 + lam,
        "one_plus_weight_above_one": 1 + lam if lam > 1 else 1,
    }[rescale]
    assert objective(m, at) == pytest.approx(loss / divisor, rel=1e-12)
    turn = m.turn(at, ["model"])
    assert turn.log["penalty"].item() == pytest.approx(risks.var())
    np.testing.assert_allclose(turn.log["risks"].detach().numpy(), risks)


@pytest.mark.parametrize("rescale", ["none", "weight", "one_plus_weight"])
def test_the_weight_jumps_at_the_anneal(rescale: str) -> None:
    """Before step `anneal` the weight is `weight_before_anneal`, from it on `lam`; the divisor goes with it."""
    m = method(VREx, rescale=rescale)
    for step, weight in ((0, 0.25), (4, 0.25), (5, 9.0), (6, 9.0)):
        at = point(1, step=step, lam=9.0, anneal=5.0, weight_before_anneal=0.25)
        now = point(1, lam=weight)
        assert objective(m, at) == pytest.approx(objective(m, now), rel=1e-14)


def test_l2_is_of_every_parameter_and_scaled_with_the_loss() -> None:
    m = method(VREx, rescale="weight")
    with_l2, without = point(1, lam=10.0, l2=0.5), point(1, lam=10.0)
    squares = sum((p**2).sum().item() for p in with_l2.parameters.values())
    assert objective(m, with_l2) - objective(m, without) == pytest.approx(0.5 * squares / 10)
    assert len(with_l2.parameters) == 4, "weights and biases"


def test_the_released_head_has_l2_only_until_the_anneal() -> None:
    m = method(VREx, head="risk", rescale="one_plus_weight")
    for step, l2 in ((1, 0.1), (5, 0.0)):
        at = point(1, step=step, anneal=3.0, lam=50.0, l2=0.1)
        pooled = at.risks(at.logits(at.features())).mean()
        squares = sum(p.square().sum() for p in at.parameters.values())
        head = m.turn(at, ["representation", "head"]).objectives["head"]
        torch.testing.assert_close(head, pooled + l2 * squares)
