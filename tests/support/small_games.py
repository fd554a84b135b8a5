"""A small network with a batch, on which a penalty is compared with the paper's equation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.methods.irmv1 import IRMv1
from irm_sweeps.methods.method import Batch, Method, Point
from irm_sweeps.methods.rex import VREx
from irm_sweeps.methods.risks import LOSSES

CLASSES = [1, 3, 5]
"""Widths of the head: one logit (binary), and more."""

Tensors = Mapping[str, Tensor]


def method(cls: type[Method], **changes: Any) -> Any:
    """A penalised method whose objective is easy to do by hand, but for what a test changes."""
    fields = {
        "risk": "mean",
        "anneal": 0,
        "weight_before_anneal": 0.0,
        "rescale": "none",
        "reset_optimizer": False,
        "head": "penalised",
    }
    own = {
        IRMv1: {
            "on": "output",
            "dummy": "scalar",
            "form": "squared",
            "environments": "mean",
            "hidden_norm": "sum",
        },
        VREx: {"variance": "population"},
    }
    return cls(**{**fields, **own.get(cls, {}), **changes})


def point(outputs: int, environments: int = 2, n: int = 7, step: int = 0, **numbers: float) -> Point:
    """A small network with a batch of `environments` x `n` random images, odd `n` so that halves differ."""
    generator = torch.Generator().manual_seed(outputs * 100 + environments * 10 + n)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    representation, head = nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.Linear(6, outputs)
    model = Model(representation, head)
    parameters = {name: normal(*p.shape).requires_grad_() for name, p in model.initial().items()}
    total = environments * n
    labels = torch.randint(max(outputs, 2), (total,), generator=generator)
    batch = Batch(normal(total, 4), labels.double() if outputs == 1 else labels, environments)
    values = {"lam": 1.0, "l2": 0.0, "anneal": 0.0, "weight_before_anneal": 0.0, **numbers}
    numbers = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    begins = dict.fromkeys(("penalty", "quantile", "pareto"), numbers["anneal"])
    return Point(model, parameters, batch, numbers, torch.tensor(step), LOSSES["cross_entropy"], begins=begins)


def ours(m: Any, at: Point) -> Tensor:
    features = at.features()
    logits = at.logits(features)
    return m.penalty(at, features, logits, at.risks(logits))


def hidden(p: Tensors, x: Tensor) -> Tensor:
    return torch.tanh(x @ p["representation.0.weight"].T + p["representation.0.bias"])


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of one environment, from `[n, k]` logits, k = 1 being binary."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels)
    return F.nll_loss(F.log_softmax(logits, 1), labels)


def by_environment(at: Point) -> list[tuple[Tensor, Tensor]]:
    e = at.batch.environments
    return list(zip(at.batch.inputs.chunk(e), at.batch.labels.chunk(e), strict=True))


def assert_same(m: Any, at: Point, reference: Callable[[Tensors], Tensor]) -> None:
    """Check value and gradient with respect to every parameter."""
    expected, found = reference(at.parameters), ours(m, at)
    assert found.shape == ()
    assert found.item() == pytest.approx(expected.item(), rel=1e-11, abs=1e-14)
    leaves = list(at.parameters.values())
    for a, b in zip(
        torch.autograd.grad(found, leaves, allow_unused=True, materialize_grads=True),
        torch.autograd.grad(expected, leaves, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
