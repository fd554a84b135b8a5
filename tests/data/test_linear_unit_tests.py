"""The linear unit tests, against their definitions: moments, the invariant predictor's error, shuffling, rotation."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from irm_sweeps.data.dataset import TrialData
from irm_sweeps.data.linear_unit_tests import LinearUnitTests

NOWHERE = Path("no_data_is_read")
EXAMPLES = ["cause_effect", "cows_camels", "small_margin"]

DEFAULTS: dict[str, Any] = {
    "scrambled": False,
    "environments": 3,
    "n_train": 4000,
    "n_val": 500,
    "n_test": 4000,
    "d_invariant": 5,
    "d_spurious": 4,
    "problem_seed": None,
}


def problem(example: str, **changes: Any) -> LinearUnitTests:
    return LinearUnitTests(**{**DEFAULTS, "example": example, **changes})


def environments(data: TrialData, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and labels of each environment, in float64."""
    if split == "train":
        pairs = list(zip(data.inputs, data.labels, strict=True))
    else:
        own = data.held_out[split]
        pairs = [(own.inputs[e.index], e.labels) for e in own.environments.values()]
    return [(x.astype(float), y.astype(float)) for x, y in pairs]


def errors(dataset: LinearUnitTests, weights: np.ndarray, split: str, seed: int = 0) -> list[float]:
    """The unit tests' error of x -> weights . x in each environment."""
    found = []
    for x, y in environments(dataset.draw(seed, NOWHERE), split):
        out = x @ weights
        found.append(np.mean((out - y) ** 2) if dataset.loss == "squared" else np.mean((out > 0) != y))
    return found


def least_squares(pairs: list[tuple[np.ndarray, np.ndarray]], columns: slice) -> np.ndarray:
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    weights = np.zeros(x.shape[1])
    weights[columns] = np.linalg.lstsq(x[:, columns], y, rcond=None)[0]
    return weights


@pytest.mark.parametrize("environment", range(3))
def test_example_1_has_its_moments(environment: int) -> None:
    spread = (0.1, 1.5, 2.0)[environment]
    x, y = environments(problem("cause_effect", n_train=40000).draw(1, NOWHERE), "train")[environment]
    causes = x[:, :5]
    np.testing.assert_allclose(np.cov(causes.T), spread**2 * np.eye(5), atol=0.04 * spread**2)
    weights = np.linalg.lstsq(causes, y, rcond=None)[0]
    assert np.var(y - causes @ weights) == pytest.approx(5 * spread**2, rel=0.03)


def test_example_1_s_mechanisms_are_the_same_in_all_environments() -> None:
    """What the causes say of y, and what y and they say of the effects; the noise differs."""
    pairs = environments(problem("cause_effect", n_train=40000).draw(2, NOWHERE), "train")
    found = [np.linalg.lstsq(x[:, :5], y, rcond=None)[0] for x, y in pairs]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=0.1)
    from_all = [np.linalg.lstsq(x, y, rcond=None)[0] for x, y in pairs]
    assert np.abs(from_all[0] - from_all[2]).max() > 0.2, "effects tell the more of y, the noisier it is"


def test_the_causes_alone_reach_example_1_s_error_everywhere() -> None:
    dataset = problem("cause_effect", n_train=20000, n_test=20000)
    pairs = environments(dataset.draw(0, NOWHERE), "train")
    found = errors(dataset, least_squares(pairs, slice(0, 5)), "test")
    np.testing.assert_allclose(found, [5 * 0.01, 5 * 2.25, 5 * 4], rtol=0.05)
    with_effects = least_squares(pairs, slice(None))
    assert sum(errors(dataset, with_effects, "val")) < sum(found) < sum(errors(dataset, with_effects, "test"))


@pytest.mark.parametrize("noise", [0.1, 0.01])
def test_the_small_margin_s_best_invariant_accuracy(noise: float) -> None:
    dataset = problem("small_margin", margin_noise=noise, n_test=20000)
    best = np.r_[-np.ones(5), np.zeros(4)]
    expected = norm.cdf(-0.1 * math.sqrt(5 / noise))
    np.testing.assert_allclose(errors(dataset, best, "test"), expected, atol=0.012)


def test_the_animal_decides() -> None:
    dataset = problem("cows_camels")
    best = np.r_[np.ones(5), np.zeros(4)]
    background = np.r_[np.zeros(5), np.ones(4)]
    for split in ("train", "val", "test"):
        assert max(errors(dataset, best, split)) == 0
    np.testing.assert_allclose(errors(dataset, background, "train"), [0.05, 0.03, 0.01], atol=0.012)
    assert min(errors(dataset, background, "test")) > 0.35


@pytest.mark.parametrize("example", EXAMPLES)
def test_shuffling_takes_the_spurious_features_their_meaning(example: str) -> None:
    """In the test environments always, elsewhere for the oracle; all else is the same."""
    plain, oracle = (problem(example, shuffled=shuffled).draw(5, NOWHERE) for shuffled in (False, True))
    meaning: dict[str, list[float]] = {"plain": [], "oracle": []}
    for split in ("train", "test"):
        for (x, y), (ours, labels) in zip(environments(plain, split), environments(oracle, split), strict=True):
            np.testing.assert_array_equal(y, labels)
            np.testing.assert_array_equal(x[:, :5], ours[:, :5])
            if split == "test":
                np.testing.assert_array_equal(x, ours)
            meaning["plain" if split == "train" else "oracle"].append(correlation(x, y))
            meaning["oracle"].append(correlation(ours, y))
    meaning["oracle"] += [correlation(x, y) / 3 for x, y in environments(oracle, "val")]
    assert max(meaning["oracle"]) < 0.08
    assert max(meaning["plain"]) > 0.3


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """The largest of a spurious feature with the label."""
    return max(abs(np.corrcoef(x[:, 5 + i], y)[0, 1]) for i in range(x.shape[1] - 5))


@pytest.mark.parametrize("example", EXAMPLES)
def test_scrambling_is_a_rotation(example: str) -> None:
    straight, rotated = (problem(example, scrambled=s, n_train=200).draw(3, NOWHERE) for s in (False, True))
    x, z = (data.inputs.reshape(-1, 9).astype(float) for data in (straight, rotated))
    rotation = np.linalg.lstsq(x, z, rcond=None)[0]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(9), atol=1e-4)
    assert np.abs(rotation - np.eye(9)).max() > 0.3
    np.testing.assert_allclose(x @ rotation, z, atol=1e-5)
    np.testing.assert_array_equal(straight.labels, rotated.labels)
    own = [data.held_out["test"].inputs.astype(float) for data in (straight, rotated)]
    np.testing.assert_allclose(own[0] @ rotation, own[1], atol=1e-4)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_problem_has_a_seed_of_its_own(example: str) -> None:
    """With it, two seeds are two samples of one problem."""
    first, second = (problem(example, problem_seed=9, scrambled=True).draw(seed, NOWHERE) for seed in (0, 1))
    assert not np.array_equal(first.inputs, second.inputs)
    if example == "cause_effect":
        one, other = (np.linalg.lstsq(*environments(data, "train")[2], rcond=None)[0] for data in (first, second))
        np.testing.assert_allclose(one, other, atol=0.25)


def test_more_environments_draw_their_constants() -> None:
    data = problem("cause_effect", environments=6, n_train=20000).draw(0, NOWHERE)
    spreads = [x[:, :5].std() for x, _ in environments(data, "train")]
    np.testing.assert_allclose(spreads[:3], [0.1, 1.5, 2], rtol=0.02)
    assert all(0.0099 <= spread <= 10.1 for spread in spreads[3:])
    assert len(set(spreads)) == 6


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        (
            {"example": "cows_camels", "d_spurious": 5, "n_train": 10000, "n_test": 10000, "n_val": 0},
            "c44530d99bdeee1d",
        ),
        (
            {"example": "small_margin", "d_spurious": 5, "scrambled": True, "n_train": 50, "n_test": 20, "n_val": 7},
            "34e494df5540ba16",
        ),
    ],
)
def test_what_earlier_versions_drew_is_drawn_still(changes: dict[str, Any], digest: str) -> None:
    data = problem(**changes).draw(3, NOWHERE)
    content = data.inputs.tobytes() + data.labels.tobytes() + data.held_out["test"].inputs.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == digest
