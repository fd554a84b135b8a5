"""The statistics, against the formulas written with the standard library only."""

from __future__ import annotations

import math
import statistics

import numpy
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from irm_sweeps.analysis.statistics.equivalence import compare
from irm_sweeps.analysis.statistics.two_means import Summary, error, holm, interval, summarize, welch
from irm_sweeps.sweep.paper import load_paper


def p_by_hand(a: Summary, b: Summary) -> float:
    """Welch's t and its degrees of freedom, then both tails of Student's density by Simpson's rule."""
    va, vb = a.sd**2 / a.n, b.sd**2 / b.n
    t = abs(a.mean - b.mean) / math.sqrt(va + vb)
    df = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    log_constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)

    def density(x: float) -> float:
        return math.exp(log_constant - (df + 1) / 2 * math.log1p(x * x / df))

    n = 4000
    h = t / n
    weights = (density(i * h) * (1 if i in (0, n) else 4 if i % 2 else 2) for i in range(n + 1))
    return 1 - 2 * math.fsum(weights) * h / 3


def test_summary_is_mean_and_sample_standard_deviation():
    values = [71.2, 70.1, 73.9, 69.6]
    summary = summarize(values)
    assert summary.mean == pytest.approx(statistics.fmean(values), rel=1e-14)
    assert summary.sd == pytest.approx(statistics.stdev(values), rel=1e-14)
    assert summary.n == 4


def test_one_value_has_no_standard_deviation():
    assert summarize([3.5]) == Summary(3.5, None, 1)
    with pytest.raises(ValueError, match="no values"):
        summarize([])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Summary(71.4, 0.9, 10), Summary(70.8, 1.0, 10)),
        (Summary(66.9, 2.5, 3), Summary(66.1, 4.9, 10)),
        (Summary(15.2, 0.4, 5), Summary(16.4, 0.8, 10)),
    ],
)
def test_p_is_that_of_the_formulas(a, b):
    assert welch(a, b) == pytest.approx(p_by_hand(a, b), abs=1e-9)


def test_p_of_two_degrees_of_freedom_in_closed_form():
    """Two pairs with equal spread: df = 2, where both tails of Student's t are 1 - t / sqrt(2 + t^2)."""
    a, b = summarize([0.0, 2.0]), summarize([3.0, 5.0])
    t = 3 / math.sqrt(2)
    assert welch(a, b) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-12)


def test_no_spread_at_all_is_decided_by_the_means():
    assert welch(Summary(50.0, 0.0, 3), Summary(50.0, 0.0, 10)) == 1
    assert welch(Summary(50.1, 0.0, 3), Summary(50.0, 0.0, 10)) == 0


@pytest.mark.parametrize("share", [0.57, 0.29, 0.58, 0.07])
def test_rounding_is_neither_a_difference_nor_a_spread(share):
    """Of float64: these shares in per cent are not the whole numbers that print has."""
    print_has = Summary(round(100 * share), 0.0, 10)
    for measured in (summarize([100 * share] * 3), Summary(100 * share, 1e-14, 3)):
        found = compare(measured, print_has)
        assert (found.word, found.difference, found.p, found.interval) == ("equivalent", 0, 1, (0, 0))
    apart = compare(summarize([100 * share] * 3), Summary(round(100 * share) + 0.1, 0.0, 10), margin=0.09)
    assert (apart.word, apart.p) == ("differs", 0)


def test_risks_near_zero_are_not_taken_for_rounding():
    a, b = Summary(4e-14, 1e-14, 5), Summary(2e-14, 1e-14, 5)
    assert welch(a, b) == pytest.approx(welch(Summary(4.0, 1.0, 5), Summary(2.0, 1.0, 5)), rel=1e-9)


def test_what_is_unknown_cannot_be_tested():
    with pytest.raises(ValueError, match="both standard deviations"):
        welch(Summary(50.0, 1.0, 3), Summary(50.0, None, 10))


def test_one_test_set_in_closed_form():
    """No spread of trials, 20 % and 80 % of two examples each: v = 20 * 80 / 2 twice, so se = 40, t = 1.5, df = 2."""
    a, b = Summary(20.0, 0.0, 10, 2), Summary(80.0, 0.0, 10, 2)
    assert error(a, b) == pytest.approx((40, 2), rel=1e-12)
    assert welch(a, b) == pytest.approx(1 - 1.5 / math.sqrt(2 + 1.5**2), rel=1e-12)
    t = 0.95 * math.sqrt(2 / (1 - 0.95**2))
    assert interval(a, b) == pytest.approx((-60 - 40 * t, -60 + 40 * t), rel=1e-9)


@pytest.mark.parametrize("sizes", [(278, 299), (None, 299), (278, None)])
def test_one_test_set_against_the_terms_written_out(sizes):
    """The numbers of bae2021 Table 6's IRMv1; Student's tail from scipy."""
    terms = [(2.3**2 / 10, 9), (1.9**2 / 10, 9)]
    for accuracy, size in zip((0.558, 0.62), sizes, strict=True):
        if size:
            draw = scipy.stats.binom(size, accuracy)
            terms.append((draw.var() * (100 / size) ** 2, size - 1))
    se = math.sqrt(sum(v for v, _ in terms))
    df = se**4 / sum(v * v / f for v, f in terms)
    a, b = Summary(55.8, 2.3, 10, sizes[0]), Summary(62.0, 1.9, 10, sizes[1])
    assert welch(a, b) == pytest.approx(2 * scipy.stats.t.cdf(-6.2 / se, df), rel=1e-9)
    assert interval(a, b) == pytest.approx(scipy.stats.t.interval(0.95, df, loc=-6.2, scale=se), rel=1e-9)
    assert compare(a, b).word == ("differs" if None in sizes else "undecided")


def test_trials_on_one_test_set_each_raise_few_false_alarms():
    """Ten trials of one model, equally good here and in print, each side on 280 examples of its own."""
    rng = numpy.random.default_rng(0)
    words: dict[int | None, list[str]] = {280: [], None: []}
    for _ in range(400):
        sides = []
        for _ in range(2):
            shared = 100 * rng.binomial(280, 0.6) / 280
            sides.append(summarize([shared + spread for spread in rng.normal(0, 1, 10)]))
        for size, said in words.items():
            a, b = (Summary(side.mean, side.sd, side.n, size) for side in sides)
            said.append(compare(a, b).word)
    alarms = {size: said.count("differs") / len(said) for size, said in words.items()}
    assert alarms[280] < 0.09, "alpha = .05, and four standard errors of 400 tests"
    assert alarms[None] > 0.5


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([71.2, 70.1, 73.9, 69.6], [70.8, 70.9, 71.3, 69.9, 70.2]),
        ([15.2, 16.9, 16.1], [16.4, 17.7, 15.8, 16.0, 16.2, 15.1, 17.0, 16.6, 16.5, 16.7]),
        ([0.31, 0.30, 0.34], [0.50, 0.90, 0.20]),
    ],
)
def test_p_and_interval_are_those_of_statsmodels(ours, theirs):
    """Fixed examples against an independent implementation, from the raw values."""
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="statsmodels is not installed")
    both = weightstats.CompareMeans.from_data(ours, theirs)
    _, p, _ = weightstats.ttest_ind(ours, theirs, usevar="unequal")
    a, b = summarize(ours), summarize(theirs)
    assert welch(a, b) == pytest.approx(p, rel=1e-10)
    assert interval(a, b) == pytest.approx(both.tconfint_diff(alpha=0.05, usevar="unequal"), rel=1e-9)


def test_p_and_interval_are_those_of_scipy():
    a, b = [71.2, 70.1, 73.9, 69.6], [70.8, 70.9, 71.3, 69.9, 70.2]
    test = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert welch(summarize(a), summarize(b)) == pytest.approx(test.pvalue, rel=1e-12)
    assert interval(summarize(a), summarize(b)) == pytest.approx(test.confidence_interval(0.95), rel=1e-9)


def test_an_interval_in_closed_form():
    """Two pairs with equal spread: df = 2, where Student's quantile is (2q - 1) sqrt(2 / (1 - (2q - 1)^2))."""
    a, b = summarize([0.0, 2.0]), summarize([3.0, 5.0])
    t = 0.95 * math.sqrt(2 / (1 - 0.95**2))
    assert interval(a, b) == pytest.approx((-3 - t * math.sqrt(2), -3 + t * math.sqrt(2)), rel=1e-9)


def test_an_interval_needs_both_spreads():
    with pytest.raises(ValueError, match="both standard deviations"):
        interval(Summary(50.0, 1.0, 3), Summary(50.0, None, 10))
    assert interval(Summary(50.5, 0.0, 3), Summary(50.0, 0.0, 10)) == (0.5, 0.5)


def test_holm_by_hand():
    """Holm's own procedure: 0.01 x 4; 0.02 x 3; 0.03 x 2; then the largest so far."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_keeps_the_order_and_is_never_smaller(p_values):
    found = holm(p_values)
    for p, adjusted in zip(p_values, found, strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p + 1e-12)
    by_p = sorted(zip(p_values, found, strict=True))
    assert [a for _, a in by_p] == sorted(found)


def test_holm_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    p_values = [0.001, 0.2, 0.012, 0.012, 0.9, 0.04, 0.0004, 0.6]
    assert holm(p_values) == pytest.approx(list(multitest.multipletests(p_values, method="holm")[1]), rel=1e-12)


PRINTED = load_paper("bae2021_table1").rows
"""Cells that are printed as mean and sd of ten trials."""


def test_the_published_tables_own_claim():
    """By Table 1's own numbers, meta-IRM is above every other method at p_e = 0.9, as its text says."""

    def at_shift(row):
        mean, sd = PRINTED[row].published[2]
        return Summary(mean, sd, 10)

    ours = at_shift("meta_irm")
    for row in ("erm", "irmv1", "mm_rex", "vrex"):
        theirs = at_shift(row)
        assert welch(ours, theirs) == pytest.approx(p_by_hand(ours, theirs), abs=1e-9)
        assert compare(ours, theirs).word == "differs"
        assert interval(ours, theirs)[0] > 0


def test_a_cell_that_two_tables_print_is_the_same_in_both():
    """Table 5 repeats Table 1's meta-IRM at p_e = 0.1 and 0.9."""
    full = load_paper("bae2021_table5").rows["full"].published
    assert full == (PRINTED["meta_irm"].published[0], PRINTED["meta_irm"].published[2])


def test_a_published_cell_agrees_with_itself():
    for row in PRINTED.values():
        for cell in row.published:
            if cell is not None and len(cell) == 2:
                own = Summary(*cell, 10)
                assert compare(own, own).word in ("equivalent", "undecided")
                assert welch(own, own) == 1


spreads = st.floats(0.01, 20)
counts = st.integers(3, 30)


@given(st.floats(0, 100), spreads, counts, st.floats(0, 100), spreads, counts)
def test_p_is_a_symmetric_probability(mean, sd, n, other_mean, other_sd, other_n):
    a, b = Summary(mean, sd, n), Summary(other_mean, other_sd, other_n)
    assert 0 <= welch(a, b) <= 1
    assert welch(a, b) == pytest.approx(welch(b, a), rel=1e-9, abs=1e-15)


@given(st.floats(0, 100), spreads, counts, st.floats(0, 100), spreads, counts)
def test_an_interval_contains_0_where_the_test_does_not_reject(mean, sd, n, other_mean, other_sd, other_n):
    a, b = Summary(mean, sd, n), Summary(other_mean, other_sd, other_n)
    low, high = interval(a, b)
    p = welch(a, b)
    assert low <= mean - other_mean <= high
    assert (low <= 0 <= high) == (p >= 0.05) or abs(p - 0.05) < 1e-9
