"""The two-bit environments, against their definition and against the failure of IRMv1 that they were made to show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

from irm_sweeps.data.two_bit_environments import TwoBitEnvironments
from irm_sweeps.errors import UserError
from irm_sweeps.testing import checked_draw, compose_trial

NAME = "dataset=two_bit_environments"


def test_the_signs_disagree_with_the_label_as_often_as_the_fields_say() -> None:
    """In every environment of every split, to within five standard errors."""
    dataset = compose_trial(NAME, "dataset.n_train=20000", "dataset.n_val=20000", "dataset.n_test=20000").dataset
    data = checked_draw(dataset, seed=3, data_dir=Path())
    drawn = dict(zip(data.names, zip(data.inputs, data.labels, strict=True), strict=True))
    assert list(drawn) == ["0.25", "0.2"]
    found = [("train", p_e, signs, labels) for p_e, (signs, labels) in drawn.items()]
    for split, held_out in data.held_out.items():
        for p_e, environment in held_out.environments.items():
            found.append((split, p_e, held_out.inputs[environment.index], environment.labels))
    assert [(split, p_e) for split, p_e, _, _ in found[2:]] == [
        ("val", "0.25"), ("val", "0.2"), ("test", "0.1"), ("test", "0.9"),
    ]  # fmt: skip
    for split, p_e, signs, labels in found:
        disagrees = np.mean((signs > 0) != labels[:, None], axis=0)
        assert disagrees == pytest.approx([0.05, float(p_e)], abs=5 * 0.0031), split
        assert labels.mean() == pytest.approx(0.5, abs=5 * 0.0036)


Logits = tuple[float, float]
"""Those of an odd predictor, where both signs are + and where only the first is."""


def cells(logits: Logits, noise: float, p_e: float) -> list[tuple[float, float]]:
    """Return the probability and the margin of each combination of the signs' agreement with the label."""
    f, g = logits
    return [
        ((1 - noise) * (1 - p_e), f),
        (noise * p_e, -f),
        ((1 - noise) * p_e, g),
        (noise * (1 - p_e), -g),
    ]


def risk(logits: Logits, noise: float, p_e: float) -> float:
    return sum(p * math.log1p(math.exp(-margin)) for p, margin in cells(logits, noise, p_e))


def multiplier_gradient(logits: Logits, noise: float, p_e: float) -> float:
    return sum(-p * margin / (1 + math.exp(margin)) for p, margin in cells(logits, noise, p_e))


def zero_of_the_penalty(noise: float, p_e: Sequence[float], start: Logits) -> Logits:
    found = scipy.optimize.fsolve(
        lambda x: [multiplier_gradient((x[0], x[1]), noise, p) for p in p_e], start, xtol=1e-12
    )
    assert all(abs(multiplier_gradient((found[0], found[1]), noise, p)) < 1e-9 for p in p_e)
    return float(found[0]), float(found[1])


def test_irmv1_has_a_better_zero_than_the_invariant_predictor_where_the_docstring_says() -> None:
    dataset = compose_trial(NAME).dataset
    assert isinstance(dataset, TwoBitEnvironments)
    noise, p_e = dataset.label_noise, dataset.p_e
    invariant = (math.log((1 - noise) / noise),) * 2
    other = zero_of_the_penalty(noise, p_e, (5.0, 1.0))
    assert all(abs(multiplier_gradient(invariant, noise, p)) < 1e-12 for p in p_e)
    assert other == pytest.approx((4.985, 0.904), abs=0.01)
    assert all(risk(other, noise, p) < risk(invariant, noise, p) for p in p_e)
    assert risk(other, noise, 0.9) > 2 * risk(invariant, noise, 0.9)
    assert zero_of_the_penalty(0.1, p_e, (5.0, 1.0)) == pytest.approx((math.log(9),) * 2, abs=0.01)


def test_environments_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match=r"p_e=\[0\.2, 0\.2\] names an environment twice"):
        compose_trial(NAME, "dataset.p_e=[0.2,0.2]")
