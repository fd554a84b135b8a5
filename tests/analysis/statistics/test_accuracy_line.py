"""Accuracy in distribution against accuracy under shift: a known line, and what is said of it."""

from __future__ import annotations

import numpy
import pytest
from scipy.stats import linregress, norm, t

from irm_sweeps.analysis.figures.accuracy_line import ticks
from irm_sweeps.analysis.statistics.accuracy_line import FEWEST, line, probit


def _trials(slope, noise, n=40):
    rng = numpy.random.default_rng(0)
    x = rng.uniform(0.3, 1.5, n)
    y = slope * x + 0.1 + rng.normal(0, noise, n)
    return norm.cdf(x).tolist(), norm.cdf(y).tolist(), list(range(n))


def test_a_line_on_probit_axes_is_found():
    found = line(*_trials(-0.7, 0.0))
    assert (found.slope, found.intercept, found.correlation) == pytest.approx((-0.7, 0.1, -1.0), abs=1e-6)


@pytest.mark.parametrize(
    ("slope", "noise", "words"),
    [(0.9, 0.1, "on the line"), (-0.9, 0.1, "tests invariance"), (0.0, 0.5, "no clear relation")],
)
def test_words(slope, noise, words):
    assert words in line(*_trials(slope, noise)).in_words


def test_the_jackknife_by_leaving_out_each_setting():
    inside, shifted, _ = _trials(0.5, 0.4)
    settings = [i // 5 for i in range(40)]
    found = line(inside, shifted, settings)
    x, y = norm.ppf(inside), norm.ppf(shifted)
    fits = [linregress(x[kept], y[kept]) for g in range(8) if len(kept := [i for i in range(40) if i // 5 != g])]
    for estimate, without_one, interval in (
        (found.slope, [fit.slope for fit in fits], found.slope_interval),
        (numpy.arctanh(found.correlation), numpy.arctanh([fit.rvalue for fit in fits]), numpy.arctanh(found.interval)),
    ):
        half = t.ppf(0.975, 7) * numpy.sqrt(7 * numpy.var(without_one))
        assert interval == pytest.approx((estimate - half, estimate + half), rel=1e-6)
    assert (found.n, found.settings) == (40, 8)


def test_the_intervals_hold_where_seeds_of_a_setting_are_alike():
    """Twelve settings of ten seeds, unrelated accuracies: taken as 120 trials, half of them seem to be related."""
    rng = numpy.random.default_rng(0)
    settings = numpy.repeat(range(12), 10)
    missed = fisher_missed = slope_missed = 0
    for _ in range(200):
        own = rng.normal(0, 0.4, (2, 12))[:, settings]
        found = line(*norm.cdf(own + rng.normal(0, 0.1, (2, 120))).tolist(), settings.tolist())
        missed += not found.interval[0] < 0 < found.interval[1]
        slope_missed += not found.slope_interval[0] < 0 < found.slope_interval[1]
        fisher_missed += abs(numpy.arctanh(found.correlation)) > 1.96 / numpy.sqrt(120 - 3)
    assert max(missed, slope_missed) < 0.05 * 200 + 4 * numpy.sqrt(200 * 0.05 * 0.95)
    assert fisher_missed > 0.3 * 200


def test_a_relation_that_one_setting_makes_is_not_shown():
    """Nine settings in one place, and one elsewhere: without it there is no spread."""
    found = line([0.5] * 9 + [0.9], [0.5] * 9 + [0.9], range(10))
    assert found.interval == (-1, 1)
    assert "no clear relation" in found.in_words


def test_without_a_spread_or_with_few_settings_there_is_no_line():
    assert line([0.5] * 20, [0.1 + 0.01 * i for i in range(20)], range(20)) is None
    inside, shifted, _ = _trials(0.5, 0.1)
    assert line(inside, shifted, [i % (FEWEST - 1) for i in range(40)]) is None
    assert line(inside, shifted, [i % FEWEST for i in range(40)])


def test_accuracies_of_0_and_1_have_a_finite_probit():
    assert probit(1.0) == -probit(0.0) == pytest.approx(norm.ppf(0.999))


@pytest.mark.parametrize("accuracy", [0.0, 0.005, 0.1, 0.33, 0.5, 0.855, 0.97, 1.0])
def test_an_axis_of_alike_trials_has_marks(accuracy):
    low, high = probit(accuracy) - 0.1, probit(accuracy) + 0.1
    marked = ticks(low, high)
    assert len(marked) >= 2
    assert all(low <= probit(tick / 100) <= high for tick in marked)
