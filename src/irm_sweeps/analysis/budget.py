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

    return float(_expected(np.array([chosen_by], dtype=float), np.array([reported], dtype=float), budget)[0])


def interval(
    chosen_by: Sequence[Sequence[float]], reported: Sequence[Sequence[float]], budget: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap interval of `expected_best`, in which each sample of seeds makes its own choice.

    Seeds are drawn with replacement, the same for all settings, so that what settings share through a seed's data
    stays shared. The generator has a fixed seed: the same values give the same interval.

    Parameters
    ----------
    chosen_by, reported
        A row for each setting, a column for each seed.
    """
    import numpy as np

    by, values = np.array(chosen_by, dtype=float), np.array(reported, dtype=float)
    seeds = np.random.default_rng(0).integers(by.shape[1], size=(REPEATS, by.shape[1]))
    expected = _expected(by[:, seeds].mean(axis=2).T, values[:, seeds].mean(axis=2).T, budget)
    low, high = np.quantile(expected, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _expected(by: NDArray[np.float64], values: NDArray[np.float64], budget: int) -> NDArray[np.float64]:
    """Return the expectation in each row, over its columns, one a setting."""
    m = by.shape[1]
    if m < 1 or budget < 1:
        raise ValueError(f"{m} settings and a budget of {budget}: both must be at least 1")
    below = (by[:, None, :] < by[:, :, None]).sum(axis=2)
    equal = (by[:, None, :] == by[:, :, None]).sum(axis=2)
    chance = (((below + equal) / m) ** budget - (below / m) ** budget) / equal
    expected: NDArray[np.float64] = (chance * values).sum(axis=1)
    return expected
