"""The three verdicts on a published mean: hand cases, statsmodels' two one-sided tests, and simulated power."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irm_sweeps.analysis.statistics.equivalence import (
    MARGIN,
    MOST,
    POWER,
    compare,
    decided,
    deciding_n,
    noticed,
    planned_looks,
    said,
)
from irm_sweeps.analysis.statistics.two_means import ALPHA, Summary, interval, summarize


@pytest.mark.parametrize(
    ("measured", "published", "word"),
    [
        (Summary(50.0, 20.0, 3), Summary(70.4, 0.9, 10), "undecided"),
        (Summary(70.1, 0.1, 10), Summary(70.4, 0.1, 10), "equivalent"),
        (Summary(70.2, 1.0, 10), Summary(70.0, 1.0, 10), "equivalent"),
        (Summary(66.5, 1.0, 10), Summary(70.0, 1.0, 10), "differs"),
        (Summary(67.4, 2.5, 3), Summary(70.4, 2.5, 10), "undecided"),
        (Summary(71.5, 1.0, 10), Summary(70.0, 1.0, 10), "differs"),
    ],
)
def test_hand_cases(measured, published, word):
    verdict = compare(measured, published)
    assert verdict.word == word
    assert (verdict.needs is not None) == (word == "undecided")


def test_a_difference_that_rounding_can_make_is_none():
    measured, published = Summary(70.04, 0.001, 10), Summary(70.0, 0.001, 10)
    assert compare(measured, published, margin=0.01).word == "differs"
    assert compare(measured, published, margin=0.01, rounding=0.05).word == "undecided"


def test_without_a_margin_nothing_is_equivalent():
    same = Summary(0.5, 0.01, 10)
    assert compare(same, same, margin=None).word == "undecided"


@pytest.mark.parametrize(
    ("measured", "published"),
    [
        (Summary(90.0, 0.1, 2), Summary(70.0, 1.0, 10)),
        (Summary(90.0, None, 1), Summary(70.0, 1.0, 10)),
        (Summary(90.0, 0.1, 10), Summary(70.0, None, 10)),
        (Summary(90.0, 0.1, 10), Summary(70.0, 1.0, None)),
    ],
)
def test_what_cannot_be_tested_is_undecided_and_still_has_its_difference(measured, published):
    verdict = compare(measured, published)
    assert (verdict.word, verdict.difference, verdict.p) == ("undecided", 20.0, None)
    assert (verdict.interval is not None) == (measured.n == 2)
    assert (verdict.needs is not None) == (measured.n < 3), "only more seeds of ours can help"


@pytest.mark.parametrize("difference", [0.2, 1.0, 1.9, 3.0])
def test_equivalent_is_what_two_one_sided_tests_say(difference):
    """Statsmodels' test for equivalence with unequal variances, at the level 0.025."""
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="statsmodels is not installed")
    rng = numpy.random.default_rng(int(10 * difference))
    for sd in (0.3, 1.0, 3.0):
        ours, theirs = rng.normal(70 + difference, sd, 10), rng.normal(70, 1.0, 10)
        p, _, _ = weightstats.ttost_ind(ours, theirs, -MARGIN, MARGIN, usevar="unequal")
        assert (compare(summarize(list(ours)), summarize(list(theirs))).word == "equivalent") == (p < 0.025)


means, spreads, counts = st.floats(0, 100), st.floats(0.01, 20), st.integers(3, 30)


@given(means, spreads, counts, means, spreads, counts)
def test_each_word_is_what_the_interval_says(mean, sd, n, other_mean, other_sd, other_n):
    a, b = Summary(mean, sd, n), Summary(other_mean, other_sd, other_n)
    low, high = interval(a, b)
    within, apart = -MARGIN <= low <= high <= MARGIN, not low <= 0 <= high
    assert compare(a, b).word == ("equivalent" if within else "differs" if apart else "undecided")


@given(means, spreads, counts, means, spreads)
def test_the_proposed_number_is_the_smallest_that_decides(mean, sd, n, other_mean, other_sd):
    a, b = Summary(mean, sd, n), Summary(other_mean, other_sd, 10)
    needs = deciding_n(a, b, MARGIN)
    if needs is None:
        assert decided(Summary(mean, sd, MOST), b, MARGIN) < POWER
    else:
        assert decided(Summary(mean, sd, needs), b, MARGIN) >= POWER
        assert needs == max(3, n + 1) or decided(Summary(mean, sd, needs - 1), b, MARGIN) < POWER


@pytest.mark.parametrize("truth", [0.0, 0.3, 1.0])
def test_the_proposed_number_decides_as_often_as_it_says(truth):
    """Without a difference the interval must fit between both ends of the margin, which takes more trials."""
    rng, sd, theirs = numpy.random.default_rng(2), 2.0, Summary(70.0, 0.5, 1000)
    needs = deciding_n(Summary(70.0 + truth, sd, 3), theirs, MARGIN)
    ours = rng.normal(70.0 + truth, sd, (1500, needs))
    words = [compare(Summary(one.mean(), one.std(ddof=1), needs), theirs).word for one in ours]
    assert 1 - words.count("undecided") / len(words) >= POWER - 0.03


def test_a_published_error_that_is_too_large_leaves_nothing_to_decide():
    verdict = compare(Summary(69.0, 1.0, 10), Summary(70.0, 9.0, 3))
    assert (verdict.word, verdict.needs) == ("undecided", None)


def _share(word, truth, n, sd=2.5, repeats=1500):
    """The share of simulated cells with this verdict, where the true difference is `truth`."""
    rng = numpy.random.default_rng(0)
    ours, theirs = rng.normal(truth, sd, (repeats, n)), rng.normal(0, sd, (repeats, 10))
    words = [compare(summarize(list(a)), summarize(list(b))).word for a, b in zip(ours, theirs, strict=True)]
    return words.count(word) / repeats


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_a_true_error_is_rarely_called_equivalent(n):
    """3 points of error at sd 2.5: `not rejected` was said in 68 % of cases at n = 3, 51 % at 5 and 29 % at 10."""
    assert _share("equivalent", 3.0, n) < 0.01


def test_an_error_of_the_size_that_a_cell_notices_is_found_as_often_as_it_says():
    size = noticed(Summary(0.0, 2.5, 10), Summary(0.0, 2.5, 10))
    assert _share("differs", size, 10) == pytest.approx(POWER, abs=0.05)


def test_false_verdicts_stay_below_their_level():
    """Four standard errors of 1,500 cells are 0.023."""
    assert _share("differs", 0.0, 5) < 0.05 + 0.023
    assert _share("equivalent", MARGIN, 30, sd=1.0) < 0.025 + 0.023


def test_planned_looks_grow_by_half():
    assert planned_looks(20) == (3, 5, 8, 12, 18, 20)
    assert planned_looks(3) == (3,)
    assert planned_looks(4) == (3, 4)


def _ever(word, truth, alpha, sd=1.0, repeats=1500):
    """The share of simulated cells that say the word at the first look that says anything."""
    rng = numpy.random.default_rng(1)
    hits = 0
    for _ in range(repeats):
        theirs, ours = summarize(rng.normal(0, sd, 10).tolist()), rng.normal(truth, sd, 20).tolist()
        words = (said(*interval(summarize(ours[:n]), theirs, alpha)) for n in planned_looks(20))
        hits += next((found for found in words if found != "undecided"), "undecided") == word
    return hits / repeats


def test_looking_repeatedly_raises_no_more_false_alarms():
    """Four standard errors of 1,500 cells at 0.05 are 0.023. The spread is so large that none is equivalent early."""
    shared = ALPHA / len(planned_looks(20))
    assert _ever("differs", 0.0, shared, sd=4.0) < ALPHA
    assert _ever("differs", 0.0, ALPHA, sd=4.0) > ALPHA + 0.023, "Welch's test at every look"
    assert _ever("equivalent", MARGIN, shared) < ALPHA / 2
    assert _ever("equivalent", MARGIN, ALPHA) > ALPHA / 2 + 0.017


def test_the_interval_and_p_of_several_looks_agree():
    a, b = Summary(72.0, 1.0, 8), Summary(70.6, 1.0, 10)
    once, often = compare(a, b), compare(a, b, looks=6)
    assert often.p == pytest.approx(6 * once.p)
    assert often.interval == pytest.approx(interval(a, b, 0.05 / 6))
    assert (once.word, often.word) == ("differs", "undecided")
