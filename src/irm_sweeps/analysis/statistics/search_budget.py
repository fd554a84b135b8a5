"""What a search of k settings may expect to report, estimated from the settings at hand (Dodge et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPEATS = 1000
"""Bootstrap samples behind an interval."""


def expected_best(chosen_by: Sequence[float], reported: Sequence[float], budget: int) -> float:
    """Return the expected `reported` value of the setting that is best by `chosen_by` among `budget` random settings.

    With the m settings at hand as the distribution that settings are drawn from, with replacement, the best of k draws
    has rank i (1: the worst) with probability `(i / m)^k - ((i - 1) / m)^k` (Dodge, Gururangan, Card, Schwartz, Smith
    2019, section 3.1). Settings with equal values share the probabilities of their ranks.

    Raises
    ------
    ValueError
        There is no setting, or the budget is below 1.
    """
    import numpy as np

    by, values = np.array([chosen_by], dtype=float), np.array([reported], dtype=float)
    return float(_expected(_ranks(by), values, budget)[0])


def intervals(
    chosen_by: Sequence[Sequence[float]],
    reported: Sequence[Sequence[float]],
    budgets: Sequence[int],
    level: float = 0.95,
) -> list[tuple[float, float]]:
    """Return for each budget the bootstrap interval of `expected_best`, in which each sample of seeds chooses anew.

    Seeds are drawn with replacement, the same for all settings, so that what settings share through a seed's data
    stays shared. The generator has a fixed seed: the same values give the same intervals.

    Parameters
    ----------
    chosen_by, reported
        A row for each setting, a column for each seed.
    """
    import numpy as np

    by, values = np.array(chosen_by, dtype=float), np.array(reported, dtype=float)
    seeds = np.random.default_rng(0).integers(by.shape[1], size=(REPEATS, by.shape[1]))
    ranks, means = _ranks(by[:, seeds].mean(axis=2).T), values[:, seeds].mean(axis=2).T
    tails = [(1 - level) / 2, (1 + level) / 2]
    bounds = [np.quantile(_expected(ranks, means, budget), tails) for budget in budgets]
    return [(float(low), float(high)) for low, high in bounds]


def _ranks(by: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each entry how many of its row are below it, and how many are not above it."""
    from scipy.stats import rankdata

    return rankdata(by, method="min", axis=1) - 1.0, rankdata(by, method="max", axis=1) + 0.0


def _expected(
    ranks: tuple[NDArray[np.float64], NDArray[np.float64]], values: NDArray[np.float64], budget: int
) -> NDArray[np.float64]:
    """Return the expectation in each row, over its columns, one a setting."""
    m = values.shape[1]
    if m < 1 or budget < 1:
        raise ValueError(f"{m} settings and a budget of {budget}: both must be at least 1")
    below, up_to = ranks
    chance = ((up_to / m) ** budget - (below / m) ** budget) / (up_to - below)
    expected: NDArray[np.float64] = (chance * values).sum(axis=1)
    return expected
