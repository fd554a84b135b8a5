"""The verdict on a measured mean against a published one: equivalent, differs or undecided, and its power."""

from __future__ import annotations

from dataclasses import replace

from irm_sweeps.analysis.statistics.two_means import (
    ALPHA,
    FEWEST,
    Summary,
    Verdict,
    Word,
    apart,
    error,
    interval,
    welch,
)
from irm_sweeps.sweep.paper_parts import MARGIN

POWER = 0.8
"""Probability with which a difference is to be found, or an undecided cell decided."""

MOST = 1000
"""Largest number of trials that is proposed."""


def compare(
    measured: Summary, published: Summary, margin: float | None = MARGIN, rounding: float = 0.0, looks: int = 1
) -> Verdict:
    """Return the verdict on a measured mean against the published mean.

    With Welch's interval of the difference at the level 1 - ALPHA, the verdict is

    * `equivalent` if the interval lies within ± margin: two one-sided tests, each at the level ALPHA / 2 (Schuirmann
      1987), reject a difference of the margin or more;
    * else `differs` if the interval excludes 0 and the difference is larger than what rounding in print can make;
    * else `undecided`. So is a mean of fewer than FEWEST trials, or a published one without spread or number of trials.

    Parameters
    ----------
    margin
        Largest difference that counts as none, in the unit of the means; None: no difference is small.
    rounding
        Half a unit of the last published digit.
    looks
        How often the verdict is asked for while trials are added. Each look has the share ALPHA / looks of the error
        (Bonferroni), so that the chance of a false verdict at any of them is at most that of a single look.
    """
    difference = apart(measured, published)
    if published.sd is None or published.n is None:
        return Verdict("undecided", difference, None)
    if measured.sd is None or measured.n is None or measured.n < FEWEST:
        known = None if measured.sd is None else interval(measured, published, ALPHA / looks)
        return Verdict("undecided", difference, None, known, needs=deciding_n(measured, published, margin, looks))
    low, high = interval(measured, published, ALPHA / looks)
    verdict = Verdict(
        said(low, high, margin, rounding),
        difference,
        min(1.0, looks * welch(measured, published)),
        (low, high),
        notices=noticed(measured, published, looks),
    )
    if verdict.word != "undecided":
        return verdict
    return replace(verdict, needs=deciding_n(measured, published, margin, looks))


def said(low: float, high: float, margin: float | None = MARGIN, rounding: float = 0.0) -> Word:
    """Return the word for an interval of the difference, whose middle is the difference."""
    if margin is not None and -margin <= low and high <= margin:
        return "equivalent"
    return "differs" if not low <= 0 <= high and abs(low + high) / 2 > rounding else "undecided"


def noticed(measured: Summary, published: Summary, looks: int = 1) -> float:
    """Return the smallest true difference that Welch's test finds with probability POWER.

    `(t_a + t_b) se`, with the quantiles of Student's distribution at 1 - ALPHA / looks / 2 and at POWER, and the
    standard error and degrees of freedom of `statistics.error`.
    """
    from scipy.special import stdtrit

    se, freedom = error(measured, published)
    return float(stdtrit(freedom, 1 - ALPHA / looks / 2) + stdtrit(freedom, POWER)) * se if se else 0.0


def decided(measured: Summary, published: Summary, margin: float | None, looks: int = 1) -> float:
    """Return the probability that the verdict is not `undecided`, if difference and spread are as they are now.

    It is the larger one of two, with F Student's distribution and T its quantile at 1 - ALPHA / looks / 2, both with
    the degrees of freedom of `statistics.error`: `F(|d| / se - T)` for `differs`, and for `equivalent`, where both
    ends of the interval must lie within the margin m, `F((m - d) / se - T) + F((m + d) / se - T) - 1`.
    """
    from scipy.special import stdtr, stdtrit

    se, freedom = error(measured, published)
    if not se:
        return 1.0
    difference, quantile = abs(apart(measured, published)), float(stdtrit(freedom, 1 - ALPHA / looks / 2))

    def below(distance: float) -> float:
        return float(stdtr(freedom, distance / se - quantile))

    within = 0.0 if margin is None else below(margin - difference) + below(margin + difference) - 1
    return max(below(difference), within)


def deciding_n(measured: Summary, published: Summary, margin: float | None, looks: int = 1) -> int | None:
    """Return the number of trials that would decide the verdict with probability POWER; None if MOST would not.

    The true difference and the spread of the trials are taken to be those measured so far; the spread of a single
    trial, which is unknown, is taken to be the published one.
    """
    sd = published.sd if measured.sd is None else measured.sd

    def decides(n: int) -> bool:
        return decided(replace(measured, sd=sd, n=n), published, margin, looks) >= POWER

    few, many = max(FEWEST, (measured.n or 0) + 1), MOST
    if not decides(many):
        return None
    while few < many:
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle + 1, many)
    return few


def planned_looks(most: int) -> tuple[int, ...]:
    """Return the numbers of trials at which a verdict is asked for: 3, 5, 8, 12, 18, ... and at last `most`.

    Each is half as large again as the one before it, so that a cell which a few trials decide stops early, and there
    are few looks to share the error.
    """
    looks = [FEWEST]
    while looks[-1] < most:
        looks.append(min(most, looks[-1] + (looks[-1] + 1) // 2))
    return tuple(looks)
