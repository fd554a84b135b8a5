"""`training.precision=bf16`: the products of layers are in bfloat16, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from irm_sweeps.draws import Draws
from irm_sweeps.methods.method import Point
from irm_sweeps.testing.fixtures import MakeTrial, Train

ON_FEATURES = {
    "coral": [],
    "fishr": [],
    "ib_erm": ["method.anneal=0"],
    "irmv1": ["method.on=hidden"],
}
"""Methods whose penalty is of the representation, which a layer gives in bfloat16."""


@pytest.mark.parametrize("method", ON_FEATURES)
def test_penalties_are_computed_in_full(
    method: str, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the rounding of float32 (of variances, which are small differences): bfloat16 has 8 bits."""
    small = ["dataset.n_train=400", "training.precision=bf16"]
    run = training(make_trial(f"method={method}", *ON_FEATURES[method], *small))
    run._advance()
    seen: dict[str, torch.Tensor] = {}
    features, logits = Point.features, Point.logits

    def once(name: str, compute: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *at: seen[name] if name in seen else seen.setdefault(name, compute(*at))

    monkeypatch.setattr(Point, "features", once("features", features))
    monkeypatch.setattr(Point, "logits", once("logits", logits))

    def penalty() -> Any:
        scene = run.scene(run.data.batch(1, 0, 1), {})
        return run.game.turn(["model"], run.parameters.tensors(), scene).log["penalty"]

    found = penalty()
    assert (seen["features"].dtype, found.dtype) == (torch.bfloat16, torch.float32)
    seen = {name: value.double() for name, value in seen.items()}
    assert found.item() == pytest.approx(penalty().item(), rel=2e-4)


@pytest.mark.parametrize("method", ["invrat_eb", "invrat_ec"])
def test_losses_of_an_adversary_are_computed_in_full(
    method: str, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(f"method={method}", "method.anneal=0", "training.precision=bf16")
    kind, formats = type(trial.method), set()
    adversary = kind.adversary

    def noted(self: Any, *at: Any) -> torch.Tensor:
        logits: torch.Tensor = adversary(self, *at)
        formats.add(logits.dtype)
        return logits

    monkeypatch.setattr(kind, "adversary", noted)
    training(trial)._advance()
    assert formats == {torch.float32}


def test_evaluations_are_in_float32(make_trial: MakeTrial, training: Train) -> None:
    """Of the same parameters, to the bit."""
    trials = [make_trial(f"training.precision={precision}", "training.steps=0") for precision in ("bf16", "float32")]
    (mixed,), (full,) = (training(trial).run() for trial in trials)
    assert mixed.parameters_sha256 == full.parameters_sha256
    assert mixed.metrics == full.metrics


@pytest.mark.parametrize("precision", ["float32", "bf16", "float64"])
def test_noise_is_below_1(
    precision: str, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """float32 has 2^24 numbers in [1/2, 1), and rounds doubles above the last of them to 1."""
    doubles = np.array([0.0, 0.25, 1 - 2.0**-30, np.nextafter(1, 0)])
    monkeypatch.setattr(Draws, "uniform", lambda self, purpose, *shape: np.resize(doubles, shape))
    trial = make_trial("method=birm", "method.draws=2", f"training.precision={precision}")
    (noise,) = (values.flatten() for values in training(trial).noise().values())
    last = doubles[2:] if precision == "float64" else [1 - 2.0**-24] * 2
    assert noise.tolist() == [0.0, 0.25, *last]
