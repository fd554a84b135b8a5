"""Does a measured mean agree with a published one? Welch's t-test from the two summaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ALPHA = 0.05
"""Two-sided significance level of a single verdict; 1 - ALPHA is the level of an interval."""

FEWEST = 3
"""Fewest measured trials that a verdict is given for."""

Word = Literal["consistent", "differs", "too few seeds"]


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (None if unknown or n < 2) and number of trials (None if unknown)."""

    mean: float
    sd: float | None
    n: int | None


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to.

    Attributes
    ----------
    word
        `consistent`: p >= ALPHA. `differs`: p < ALPHA. `too few seeds`: untested, because fewer than FEWEST
        trials are measured or the published value comes without standard deviation or number of trials.
    difference
        Measured minus published mean, in the unit of the two.
    p
        Two-sided p-value; None if untested.
    interval
        95 % confidence interval of the difference; None where a standard deviation or a number of trials is
        unknown.
    p_holm
        `p` adjusted for all tests of the table; None if untested, or not yet adjusted.
    """

    word: Word
    difference: float
    p: float | None
    interval: tuple[float, float] | None = None
    p_holm: float | None = None


def summarize(values: Sequence[float]) -> Summary:
    """Return mean `m = sum(x) / n` and standard deviation `sqrt(sum((x - m)^2) / (n - 1))`.

    Raises
    ------
    ValueError
        There is no value.
    """
    import pandas as pd

    if not values:
        raise ValueError("no values to summarize")
    series = pd.Series(values, dtype=float)
    return Summary(float(series.mean()), float(series.std(ddof=1)) if len(series) > 1 else None, len(series))


def welch(a: Summary, b: Summary) -> float:
    """Return the two-sided p-value of Welch's t-test.

    `t = (m_a - m_b) / sqrt(v_a + v_b)` with `v = sd^2 / n`, against Student's t with
    `(v_a + v_b)^2 / (v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1))` degrees of freedom (Welch 1947).
    Two samples without any spread, for which t is not defined, have p = 1 if their means are equal, else 0.

    Raises
    ------
    ValueError
        A standard deviation or a number of trials is unknown.
    """
    from scipy.stats import ttest_ind_from_stats

    if a.sd is None or a.n is None or b.sd is None or b.n is None:
        raise ValueError("Welch's test needs both standard deviations and numbers of trials")
    if a.sd == b.sd == 0:
        return float(a.mean == b.mean)
    test = ttest_ind_from_stats(a.mean, a.sd, a.n, b.mean, b.sd, b.n, equal_var=False)
    return float(test.pvalue)


def interval(a: Summary, b: Summary) -> tuple[float, float]:
    """Return Welch's confidence interval of `m_a - m_b`, at the level 1 - ALPHA.

    `m_a - m_b ± t sqrt(v_a + v_b)` with the quantile t of Student's distribution with the degrees of freedom
    of `welch`. It contains 0 exactly where `welch(a, b) > ALPHA`.

    Raises
    ------
    ValueError
        A standard deviation or a number of trials is unknown.
    """
    from scipy.stats import t

    if a.sd is None or a.n is None or b.sd is None or b.n is None:
        raise ValueError("Welch's interval needs both standard deviations and numbers of trials")
    difference = a.mean - b.mean
    if a.sd == b.sd == 0:
        return difference, difference
    va, vb = a.sd**2 / a.n, b.sd**2 / b.n
    freedom = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    half = float(t.ppf(1 - ALPHA / 2, freedom)) * math.sqrt(va + vb)
    return difference - half, difference + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order (Holm 1979).

    The i-th smallest of k becomes the largest of `(k - j + 1) p_j` over j <= i, at most 1. Where one is below
    ALPHA its cell differs, and the chance that any such cell of the family is a false alarm is at most ALPHA,
    however the tests depend on each other.
    """
    k, least = len(p_values), 0.0
    adjusted = [0.0] * k
    for rank, i in enumerate(sorted(range(k), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (k - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def compare(measured: Summary, published: Summary) -> Verdict:
    """Return the verdict on a measured mean, given the published one."""
    difference = measured.mean - published.mean
    unknown = measured.sd is None or published.sd is None or published.n is None
    around = None if unknown else interval(measured, published)
    if unknown or (measured.n or 0) < FEWEST:
        return Verdict("too few seeds", difference, None, around)
    p = welch(measured, published)
    return Verdict("differs" if p < ALPHA else "consistent", difference, p, around)
