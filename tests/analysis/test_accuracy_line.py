"""Accuracy in distribution against accuracy under shift: a known line, and what is said of it."""

from __future__ import annotations

import numpy
import pytest
from scipy.stats import norm

from irm_sweeps.analysis.accuracy_line import FEWEST, line, probit
from irm_sweeps.analysis.figures.accuracy_line import ticks


def _trials(slope, noise, n=40):
    rng = numpy.random.default_rng(0)
    x = rng.uniform(0.3, 1.5, n)
    y = slope * x + 0.1 + rng.normal(0, noise, n)
    return norm.cdf(x).tolist(), norm.cdf(y).tolist()


def test_a_line_on_probit_axes_is_found():
    found = line(*_trials(-0.7, 0.0))
    assert (found.slope, found.intercept, found.correlation) == pytest.approx((-0.7, 0.1, -1.0), abs=1e-6)


@pytest.mark.parametrize(
    ("slope", "noise", "words"),
    [(0.9, 0.1, "on the line"), (-0.9, 0.1, "tests invariance"), (0.0, 0.5, "no clear relation")],
)
def test_words(slope, noise, words):
    assert words in line(*_trials(slope, noise)).in_words


def test_fishers_interval_by_hand():
    found = line(*_trials(0.5, 0.4))
    z, half = numpy.arctanh(found.correlation), 1.959963984540054 / numpy.sqrt(37)
    assert found.interval == pytest.approx((numpy.tanh(z - half), numpy.tanh(z + half)))


def test_without_a_spread_or_with_few_trials_there_is_no_line():
    assert line([0.5] * 20, [0.1 + 0.01 * i for i in range(20)]) is None
    inside, shifted = _trials(0.5, 0.1)
    assert line(inside[: FEWEST - 1], shifted[: FEWEST - 1]) is None


def test_accuracies_of_0_and_1_have_a_finite_probit():
    assert probit(1.0) == -probit(0.0) == pytest.approx(norm.ppf(0.999))


@pytest.mark.parametrize("accuracy", [0.0, 0.005, 0.1, 0.33, 0.5, 0.855, 0.97, 1.0])
def test_an_axis_of_alike_trials_has_marks(accuracy):
    low, high = probit(accuracy) - 0.1, probit(accuracy) + 0.1
    marked = ticks(low, high)
    assert len(marked) >= 2
    assert all(low <= probit(tick / 100) <= high for tick in marked)
