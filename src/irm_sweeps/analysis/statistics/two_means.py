"""Statistics of two means: Welch's t-test and interval from two summaries, and Holm's correction for many tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from irm_sweeps.wording import count

ALPHA = 0.05
"""Two-sided significance level of a single verdict; 1 - ALPHA is the level of an interval."""

FEWEST = 3
"""Smallest number of measured trials, or of pairs, for a verdict."""

ROUNDING = 1e-12
"""Relative size, against their values, up to which differences and spreads are rounding of float64 and count as 0."""

Word = Literal["equivalent", "differs", "undecided", "higher", "lower", "no difference shown", "too few seeds"]


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (None if unknown or n < 2) and number of trials (None if unknown).

    Attributes
    ----------
    examples
        Size of the one test set that all trials share, if the summary that it is compared with has another; then the
        mean is an accuracy in per cent. None: each trial has its own test set, or both summaries share one.
    """

    mean: float
    sd: float | None
    n: int | None
    examples: int | None = None


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison.

    Attributes
    ----------
    word
        Of a published value, `equivalent`, `differs` or `undecided`: see `equivalence.py`. Of another
        row, `no difference shown`: p >= ALPHA; `higher` or `lower`: p < ALPHA; `too few seeds`: untested, because
        fewer than FEWEST pairs are measured.
    difference
        Measured minus published mean, or mean difference to another row, in their unit; None without a pair.
    p
        Two-sided p-value; None if untested.
    interval
        95 % confidence interval of the difference; None if a standard deviation or a number of trials is unknown.
    p_holm
        `p` adjusted for all tests of the table; None if untested, or before the adjustment.
    pairs
        Number of seeds with a value on both sides; None if the comparison is not by pairs.
    notices
        Smallest true difference that a published cell's test would find with probability POWER; None if untested.
    needs
        Number of trials that would decide an undecided cell with probability POWER; None if it is decided, or no
        number would.
    """

    word: Word
    difference: float | None
    p: float | None
    interval: tuple[float, float] | None = None
    p_holm: float | None = None
    pairs: int | None = None
    notices: float | None = None
    needs: int | None = None


def summarize(values: Sequence[float]) -> Summary:
    """Return mean `m = sum(x) / n` and standard deviation `sqrt(sum((x - m)^2) / (n - 1))`.

    Raises
    ------
    ValueError
        `values` is empty.
    """
    import numpy as np

    if not values:
        raise ValueError("no values to summarize")
    array = np.array(values, dtype=float)  # ten thousand settings have a summary each, for which pandas takes seconds
    return Summary(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


def exact(found: float, *values: float) -> float:
    """Return a difference or a spread of values; 0 if it is within their `ROUNDING`."""
    return 0.0 if abs(found) <= ROUNDING * max(map(abs, values)) else found


def apart(a: Summary, b: Summary) -> float:
    """Return `m_a - m_b`; 0 if it is within `ROUNDING`."""
    return exact(a.mean - b.mean, a.mean, b.mean)


def error(a: Summary, b: Summary) -> tuple[float, float]:
    """Return the standard error of `m_a - m_b` and its degrees of freedom; (0, 0) without any spread.

    The error is `sqrt(sum(v))`, with `sum(v)^2 / sum(v^2 / f)` degrees of freedom (Welch 1947, Satterthwaite 1946),
    over the two terms `v = sd^2 / n`, `f = n - 1`, and for each test set that all trials of a summary share one more,
    `v = m (100 - m) / examples`, `f = examples - 1`: the binomial variance of its accuracy m in per cent. This is an
    upper bound of what such a test set adds, since some examples are easy and others hard for every trial.

    Raises
    ------
    ValueError
        A standard deviation or a number of trials is unknown.
    """
    terms = []
    for side in (a, b):
        if side.sd is None or side.n is None:
            raise ValueError("Welch's test and interval need both standard deviations and numbers of trials")
        terms.append((exact(side.sd, side.mean) ** 2 / side.n, side.n - 1))
    for side in (a, b):
        if side.examples is not None:
            terms.append((side.mean * (100 - side.mean) / side.examples, side.examples - 1))
    variance = sum(v for v, _ in terms)
    if variance == 0:
        return 0.0, 0.0
    return math.sqrt(variance), variance**2 / sum(v**2 / f for v, f in terms)


def welch(a: Summary, b: Summary) -> float:
    """Return the two-sided p-value of Welch's t-test.

    `t = (m_a - m_b) / se` against Student's t, with the se and the degrees of freedom of `error`. Two samples without
    any spread, for which t is not defined, have p = 1 if their means are equal, else 0.

    Raises
    ------
    ValueError
        A standard deviation or a number of trials is unknown.
    """
    return two_sided(apart(a, b), *error(a, b))


def interval(a: Summary, b: Summary, alpha: float = ALPHA) -> tuple[float, float]:
    """Return Welch's confidence interval of `m_a - m_b`, at the level 1 - alpha.

    `m_a - m_b ± t se`, with the se of `error` and the quantile t of Student's distribution with the degrees of freedom
    of `error`. It contains 0 exactly if `welch(a, b) > alpha`.

    Raises
    ------
    ValueError
        A standard deviation or a number of trials is unknown.
    """
    return around(apart(a, b), *error(a, b), alpha)


def two_sided(difference: float, se: float, freedom: float) -> float:
    """Return both tails of Student's t beyond `difference / se`; without an error, 1 for no difference, else 0."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(difference) / se)) if se else float(difference == 0)


def around(difference: float, se: float, freedom: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Return Student's confidence interval of a difference, at the level 1 - alpha; without an error, a point."""
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 1 - alpha / 2)) * se if se else 0.0
    return difference - half, difference + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for the number of tests, in the same order (Holm 1979).

    The i-th smallest of k becomes the largest of `(k - j + 1) p_j` over j <= i, at most 1. If the cells
    whose adjusted p-value is below ALPHA count as different, the chance of any false alarm among them is at most ALPHA,
    however the tests depend on each other.
    """
    k, least = len(p_values), 0.0
    adjusted = [0.0] * k
    for rank, i in enumerate(sorted(range(k), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (k - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def multiple_comparisons(verdicts: Iterable[Verdict | None], equal: str, looks: int = 1) -> str:
    """Return the line on the expected number of small p-values and on Holm's correction; empty if nothing is tested.

    Parameters
    ----------
    equal
        The hypothesis under which every p-value below ALPHA is a false alarm.
    looks
        How often each p-value is looked at; it has been multiplied by that number, so that ALPHA bounds its false
        alarms.
    """
    tested = [(verdict.p, verdict.p_holm) for verdict in verdicts if verdict and verdict.p is not None]
    if not tested:
        return ""
    k, below = len(tested), sum(p < ALPHA for p, _ in tested)
    left = sum((p_holm or 0.0) < ALPHA for _, p_holm in tested)
    return (
        f"Multiple comparisons: {count(k, 'test')}, uncorrected; if {equal}, {'at most ' * (looks > 1)}{ALPHA * k:.2g} "
        f"of them would still have p < {ALPHA:g}, on average. {below} have; {left} with Holm's correction for the "
        f"{count(k, 'test')}."
    )
