"""How accuracy under shift depends on accuracy in distribution over many trials, and what that says of a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 8
"""Smallest number of trials for a line."""

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
    interval
        Fisher's 95 % interval of r.
    """

    slope: float
    intercept: float
    correlation: float
    interval: tuple[float, float]
    n: int

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
    from scipy.stats import norm

    return float(norm.ppf(min(1 - CLIP, max(CLIP, accuracy))))


def line(inside: Sequence[float], shifted: Sequence[float]) -> Line | None:
    """Return the line through the trials' accuracies on probit axes (Miller et al. 2021); None without one.

    There is none for fewer than FEWEST trials, or if all have the same accuracy on one side.

    Parameters
    ----------
    inside, shifted
        Accuracies in [0, 1] of the same trials.
    """
    from scipy.stats import linregress, norm

    x, y = [probit(value) for value in inside], [probit(value) for value in shifted]
    if len(x) < FEWEST or max(x) == min(x) or max(y) == min(y):
        return None
    fit = linregress(x, y)
    r = float(fit.rvalue)
    z, half = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r))), float(norm.ppf(0.975)) / math.sqrt(len(x) - 3)
    return Line(float(fit.slope), float(fit.intercept), r, (math.tanh(z - half), math.tanh(z + half)), len(x))
