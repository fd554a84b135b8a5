"""The paired comparison of two cells, against scipy, closed forms and simulations with a known truth."""

from __future__ import annotations

import math

import numpy
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from irm_sweeps.analysis.statistics import equivalence, two_means
from irm_sweeps.analysis.tables import paired
from irm_sweeps.analysis.tables.paired import compare

OURS = [71.2, 70.1, 73.9, 69.6, 72.4]
THEIRS = [70.8, 69.2, 71.3, 69.9, 70.2]


def seeded(values):
    return dict(enumerate(values))


def test_p_and_interval_are_those_of_scipy():
    found, test = compare(seeded(OURS), seeded(THEIRS)), scipy.stats.ttest_rel(OURS, THEIRS)
    assert found.difference == pytest.approx(numpy.mean(OURS) - numpy.mean(THEIRS), rel=1e-12)
    assert found.p == pytest.approx(test.pvalue, rel=1e-12)
    assert found.interval == pytest.approx(test.confidence_interval(0.95), rel=1e-9)
    assert found.pairs == 5


def test_three_differences_in_closed_form():
    """1, 2, 3: mean 2, se 1 / sqrt(3), two degrees of freedom, of which Student's tails and quantile are algebra."""
    found = compare({7: 51.0, 8: 62.0, 9: 43.0}, {9: 40.0, 7: 50.0, 8: 60.0})
    t = 2 * math.sqrt(3)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-12)
    half = 0.95 * math.sqrt(2 / (1 - 0.95**2)) / math.sqrt(3)
    assert found.interval == pytest.approx((2 - half, 2 + half), rel=1e-9)
    assert (found.difference, found.word) == (2, "no difference shown")


def test_seeds_that_one_side_lacks_are_in_no_pair():
    mine = {**seeded(OURS), 20: 0.0, 21: 100.0}
    theirs = {30: 55.0, **dict(reversed(seeded(THEIRS).items()))}
    assert compare(mine, theirs) == compare(seeded(OURS), seeded(THEIRS))


VALUES = st.floats(0, 100).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=3, max_size=12))
def test_it_is_scipy_s_and_antisymmetric(pairs):
    mine, theirs = (seeded(own) for own in zip(*pairs, strict=True))
    differences = [a - b for a, b in pairs]
    assume(max(differences) - min(differences) > 0.005)
    there, back = compare(mine, theirs), compare(theirs, mine)
    assert there.p == pytest.approx(scipy.stats.ttest_rel(*zip(*pairs, strict=True)).pvalue, rel=1e-6, abs=1e-12)
    assert back.p == pytest.approx(there.p, rel=1e-9)
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=1e-9)
    swapped = {"higher": "lower", "lower": "higher"}
    assert back.word == swapped.get(there.word, there.word)
    assert (there.interval[0] <= 0 <= there.interval[1]) == (there.p >= 0.05) or abs(there.p - 0.05) < 1e-9
    assert there.word == ("no difference shown" if there.p >= 0.05 else "higher" if there.difference > 0 else "lower")


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ({0: 70.0, 1: 71.0}, {2: 70.0, 3: 71.0}, (None, None, 0)),
        ({}, {2: 70.0}, (None, None, 0)),
        ({0: 70.0, 1: 71.0}, {1: 69.0, 3: 71.0}, (2.0, None, 1)),
        ({0: 70.0, 1: 71.0}, {0: 69.0, 1: 69.0}, (1.5, pytest.approx((1.5 - 6.353102, 1.5 + 6.353102)), 2)),
    ],
)
def test_too_few_pairs_are_not_tested(mine, theirs, said):
    """Of two, Student's quantile with one degree of freedom is tan(pi 0.475) = 12.7062, of a standard error of 0.5."""
    found = compare(mine, theirs)
    assert (found.difference, found.interval, found.pairs) == said
    assert (found.word, found.p) == ("too few seeds", None)


@pytest.mark.parametrize(("difference", "p", "word"), [(0.1, 0, "higher"), (-0.1, 0, "lower"), (0, 1, None)])
def test_no_spread_at_all_is_decided_by_the_difference(difference, p, word):
    """Though no two of these differences are the same float64."""
    theirs = seeded([100 * share for share in (0.57, 0.29, 0.58, 0.07)])
    mine = {seed: value + difference for seed, value in theirs.items()}
    if difference:
        assert len({mine[seed] - theirs[seed] for seed in mine}) > 1
    found = compare(mine, theirs)
    assert (found.p, found.word) == (p, word or "no difference shown")
    assert found.interval == (found.difference, found.difference)
    assert found.difference == pytest.approx(difference)


def test_rounding_is_no_difference():
    """The same mean of environments, summed in another order."""
    theirs = seeded([100 * (0.1 + 0.2 + 0.3)] * 3)
    mine = seeded([100 * (0.3 + 0.2 + 0.1)] * 3)
    assert mine != theirs
    found = compare(mine, theirs)
    assert (found.difference, found.p, found.word) == (0, 1, "no difference shown")


def test_values_near_zero_are_not_taken_for_rounding():
    """Risks without noise are as small as that."""
    mine, theirs = seeded([3e-14, 4e-14, 5.5e-14]), seeded([1e-14, 2e-14, 3e-14])
    assert compare(mine, theirs).p == pytest.approx(scipy.stats.ttest_rel([3, 4, 5.5], [1, 2, 3]).pvalue, rel=1e-9)


def test_what_a_pair_shares_is_not_in_the_interval():
    """The data of a seed move both methods by ten points, and one of them is half a point better."""
    rng = numpy.random.default_rng(0)
    data = rng.normal(70, 10, 10)
    mine, theirs = (list(data + more + rng.normal(0, 0.1, 10)) for more in (0.5, 0))
    assert compare(seeded(mine), seeded(theirs)).word == "higher"
    assert equivalence.compare(two_means.summarize(mine), two_means.summarize(theirs)).word == "undecided"


@pytest.mark.parametrize("shared", [0, 5])
def test_false_alarms_are_as_rare_as_alpha_says(shared):
    """Two methods equally good, whether or not one seed is the same data for both."""
    rng = numpy.random.default_rng(1)
    alarms = 0
    for _ in range(600):
        data = rng.normal(70, shared, 5)
        mine, theirs = (data + rng.normal(0, sd, 5) for sd in (1, 3))
        alarms += compare(seeded(mine), seeded(theirs)).word != "no difference shown"
    assert abs(alarms / 600 - two_means.ALPHA) < 4 * math.sqrt(0.05 * 0.95 / 600)


def test_fewer_pairs_than_a_verdict_needs(monkeypatch):
    monkeypatch.setattr(paired, "FEWEST", 6)
    found = compare(seeded(OURS), seeded(THEIRS))
    assert (found.word, found.p, found.pairs) == ("too few seeds", None, 5)
