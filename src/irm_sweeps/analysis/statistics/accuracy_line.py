"""How accuracy under shift depends on accuracy in distribution over many trials, and what that says of a data set."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST = 5
"""Smallest number of settings for a line."""

CLIP = 1e-3
"""Accuracies are kept this far from 0 and 1, where the probit is infinite."""

STRONG = 0.5
"""Correlation above which accuracy is called on the line."""


@dataclass(frozen=True)
class Line:
    """The least-squares line `probit(shifted) = slope probit(inside) + intercept` over n trials.

    Attributes
    ----------
    correlation
        Pearson's r of the two probits.
    slope_interval, interval
        95 % intervals of the slope and of r.
    settings
        Number of settings that the trials are seeds of.
    """

    slope: float
    intercept: float
    correlation: float
    slope_interval: tuple[float, float]
    interval: tuple[float, float]
    n: int
    settings: int

    @property
    def in_words(self) -> str:
        """What the correlation says of the data set's ability to test invariance (Salaudeen et al. 2025)."""
        low, high = self.interval
        if low > STRONG:
            return (
                "accuracy is on the line: what helps in distribution helps under shift, so this shift hardly tests "
                "whether a method is invariant"
            )
        if high < 0:
            return (
                "accuracy in distribution costs accuracy under shift: what a model gains from the spurious feature it "
                "loses there, so this shift tests invariance"
            )
        return "no clear relation: accuracy in distribution does not tell accuracy under shift"


def probit(accuracy: float) -> float:
    """Return the standard normal quantile of an accuracy in [0, 1], clipped to CLIP and 1 - CLIP."""
    from scipy.special import ndtri

    return float(ndtri(min(1 - CLIP, max(CLIP, accuracy))))


def line(inside: Sequence[float], shifted: Sequence[float], settings: Sequence[Hashable]) -> Line | None:
    """Return the line through the trials' accuracies on probit axes (Miller et al. 2021); None without one.

    There is none for fewer than FEWEST settings, or if all trials have the same accuracy on one side.

    The seeds of a setting are alike, so trials are not independent, but settings are taken to be. The intervals are by
    the jackknife over settings (CV3J of MacKinnon, Nielsen and Webb 2023): with the estimates e_g without setting g,
    the error is `sqrt((G - 1) / G sum((e_g - mean(e_g))^2))`, and the interval `e ± t error` with G - 1 degrees of
    freedom; of r after Fisher's transformation `atanh(r)`.

    Parameters
    ----------
    inside, shifted
        Accuracies in [0, 1] of the same trials.
    settings
        What tells the setting of each trial.
    """
    import numpy as np

    x, y = (np.array([probit(value) for value in side]) for side in (inside, shifted))
    number = {setting: i for i, setting in enumerate(dict.fromkeys(settings))}
    if len(number) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    mean_x, mean_y = float(x.mean()), float(y.mean())
    x, y = x - mean_x, y - mean_y
    index = [number[setting] for setting in settings]
    sums = np.stack([np.bincount(index, terms) for terms in (np.ones_like(x), x, y, x * x, x * y, y * y)])
    whole = sums.sum(axis=1, keepdims=True)
    (slope,), (z,) = _slope_and_z(whole)
    slopes, zs = _slope_and_z(whole - sums)
    low, high = _jackknifed(z, zs)
    return Line(
        float(slope),
        mean_y - float(slope) * mean_x,
        math.tanh(z),
        _jackknifed(slope, slopes),
        (math.tanh(low), math.tanh(high)),
        len(x),
        len(number),
    )


def _slope_and_z(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and `atanh(r)` from the sums of 1, x, y, x x, x y and y y, by row; not finite without spread."""
    import numpy as np

    n, x, y, xx, xy, yy = sums
    xx, xy, yy = xx - x * x / n, xy - x * y / n, yy - y * y / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return xy / xx, np.arctanh(np.clip(xy / np.sqrt(xx * yy), -1 + 1e-12, 1 - 1e-12))


def _jackknifed(estimate: float, without_one: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of an estimate; infinite if all spread is that of one setting."""
    from scipy.special import stdtrit

    g = len(without_one)
    half = float(stdtrit(g - 1, 0.975)) * math.sqrt((g - 1) * without_one.var())
    return (estimate - half, estimate + half) if math.isfinite(half) else (-math.inf, math.inf)
