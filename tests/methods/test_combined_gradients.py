"""SAND-mask against numpy, and PAIR's weights against scipy's linear programs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from irm_sweeps.methods.pair import PAIR
from irm_sweeps.methods.sand_mask import SANDMask
from irm_sweeps.methods.simplex import best_on_simplex
from small_games import point


@pytest.mark.parametrize("tau", [0.0, 0.5])
def test_sand_mask_weighs_entries_by_agreement_over_variance(tau: float) -> None:
    gradients = np.random.default_rng(1).normal(0.3, 1, (3, 40))
    agreement, variance = np.abs(np.sign(gradients).mean(0)), gradients.var(0, ddof=1)
    mask = np.maximum(np.tanh(2.0 / variance * (agreement - tau)), 0)
    method = SANDMask(tau=tau, k=2.0)
    combined = method.combine(point(1), "model", torch.zeros(3), {"head.weight": torch.as_tensor(gradients)})
    expected = mask * gradients.mean(0) / (1e-10 + mask.mean())
    np.testing.assert_allclose(combined["head.weight"].numpy(), expected, rtol=1e-12)


def test_sand_mask_of_equal_gradients_is_finite() -> None:
    for gradients in (torch.ones(2, 4), torch.ones(1, 4)):
        combined = SANDMask(tau=1.0, k=10.0).combine(point(1), "model", torch.zeros(2), {"w": gradients})
        assert combined["w"].isfinite().all()


def by_scipy(value: np.ndarray, rows: np.ndarray, bounds: np.ndarray) -> float | None:
    """The largest value, or None where nothing is feasible."""
    kept = np.isfinite(bounds)
    found = linprog(-value, A_ub=-rows[kept], b_ub=-bounds[kept], A_eq=np.ones((1, len(value))), b_eq=[1])
    return -found.fun if found.success else None


@pytest.mark.parametrize("seed", range(30))
def test_the_best_weights_are_those_of_a_linear_program(seed: int) -> None:
    generator = np.random.default_rng(seed)
    value, rows = generator.normal(size=3), generator.normal(size=(4, 3))
    bounds = np.where(generator.random(4) < 0.3, -np.inf, generator.normal(-0.2, 0.5, 4))
    found = best_on_simplex(*(torch.as_tensor(array) for array in (value, rows, bounds))).numpy()
    expected = by_scipy(value, rows, bounds)
    if expected is None:
        assert np.isnan(found).all()
        return
    assert found @ value == pytest.approx(expected, abs=1e-7)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert (rows @ found >= bounds - 1e-7).all()


def method(**changes: object) -> PAIR:
    fields = {
        "anneal": 0,
        "preference": (0.2, 0.3, 0.5),
        "balance_above": 0.1,
        "gradients_of": "all",
        "reset_optimizer": False,
    }
    return PAIR.model_validate({**fields, **changes})


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("balances", [True, False])
def test_pair_s_weights_are_those_of_epo_search(balances: bool, seed: int) -> None:
    """The program is written as in the paper's code: https://github.com/LFhase/PAIR, pair.py, class EPO."""
    generator = np.random.default_rng(seed)
    r = np.array([0.2, 0.3, 0.5])
    losses = generator.random(3) if balances else (1 + 0.05 * generator.random(3)) / r
    gradients = generator.normal(size=(3, 5)) + 0.5
    gram = gradients @ gradients.T
    shares = r * losses / (r * losses).sum()
    divergence = (shares * np.log(3 * shares)).sum()
    along = gram @ (r * (np.log(3 * shares) - divergence))
    if balanced := divergence > 0.01:
        bounds = np.where(along > 0, -np.inf, along)
        bounds[np.argmax(shares)] = 0
        expected = by_scipy(along, gram, bounds)
    else:
        bounds = np.concatenate([[min(0.0, along.max())], np.zeros(3)])
        expected = by_scipy(gram.sum(1), np.concatenate([along[None], gram]), bounds)
    assert balanced == balances
    weights = method(balance_above=0.01).weights(torch.as_tensor(losses), torch.as_tensor(gram)).numpy()
    if expected is None:
        np.testing.assert_allclose(weights, r)
    else:
        assert weights @ (along if balanced else gram.sum(1)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_pair_is_erm_until_the_anneal_and_a_weighted_sum_afterwards() -> None:
    gradients = {name: torch.randn(3, *p.shape).double() for name, p in point(1).parameters.items()}
    objectives = torch.tensor([0.6, 0.02, 0.01]).double()
    before, after = (
        method().combine(point(1, step=step, anneal=5.0), "model", objectives, gradients) for step in (4, 5)
    )
    flat = torch.cat([g.flatten(1) for g in gradients.values()], 1)
    weights = method().weights(objectives, flat @ flat.T)
    for name, gradient in gradients.items():
        torch.testing.assert_close(before[name], gradient[0])
        torch.testing.assert_close(after[name], torch.tensordot(weights, gradient, 1))


def test_a_preference_has_three_numbers() -> None:
    with pytest.raises(ValueError, match="at least 3 items"):
        method(preference=(1.0, 2.0))
