"""The statistics, against the formulas written out with nothing but the standard library."""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))

from verdict import Summary, Verdict, compare, summarize, welch


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


def test_what_is_unknown_cannot_be_tested():
    with pytest.raises(ValueError, match="both standard deviations"):
        welch(Summary(50.0, 1.0, 3), Summary(50.0, None, 10))


def test_words():
    published = Summary(70.0, 1.0, 10)
    assert compare(Summary(70.2, 1.0, 10), published).word == "consistent"
    differs = compare(Summary(66.5, 1.0, 10), published)
    assert (differs.word, differs.difference) == ("differs", -3.5)
    assert differs.p < 1e-5


@pytest.mark.parametrize(
    ("measured", "published"),
    [
        (Summary(90.0, 0.1, 2), Summary(70.0, 1.0, 10)),
        (Summary(90.0, None, 1), Summary(70.0, 1.0, 10)),
        (Summary(90.0, 0.1, 10), Summary(70.0, None, 10)),
        (Summary(90.0, 0.1, 10), Summary(70.0, 1.0, None)),
    ],
)
def test_untested_cells_say_so_and_still_give_the_difference(measured, published):
    assert compare(measured, published) == Verdict("too few seeds", 20.0, None)


spreads = st.floats(0.01, 20)
counts = st.integers(3, 30)


@given(st.floats(0, 100), spreads, counts, st.floats(0, 100), spreads, counts)
def test_p_is_a_symmetric_probability(mean, sd, n, other_mean, other_sd, other_n):
    a, b = Summary(mean, sd, n), Summary(other_mean, other_sd, other_n)
    assert 0 <= welch(a, b) <= 1
    assert welch(a, b) == pytest.approx(welch(b, a), rel=1e-9, abs=1e-15)
