"""The expected best of a budget: closed forms, exhaustive draws, and intervals that contain the choice."""

from __future__ import annotations

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irm_sweeps.analysis.figures.budget import shown_budgets
from irm_sweeps.analysis.statistics.search_budget import expected_best, intervals


def test_a_budget_of_one_is_the_mean_and_a_large_one_the_best():
    by, reported = [0.1, 0.5, 0.3], [60.0, 70.0, 80.0]
    assert expected_best(by, reported, 1) == pytest.approx(70)
    assert expected_best(by, reported, 200) == pytest.approx(70), "the best by what is chosen by, not the best reported"
    assert expected_best(reported, reported, 200) == pytest.approx(80)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100)), min_size=1, max_size=4),
    st.integers(1, 4),
)
def test_it_is_the_mean_over_all_draws(settings, budget):
    """Every sequence of draws is equally likely; of equal settings each is as likely to be taken."""
    outcomes = []
    for draw in itertools.product(range(len(settings)), repeat=budget):
        best = max(settings[i][0] for i in draw)
        outcomes.append(numpy.mean([settings[i][1] for i in draw if settings[i][0] == best]))
    by, reported = zip(*settings, strict=True)
    assert expected_best(by, reported, budget) == pytest.approx(numpy.mean(outcomes), abs=1e-9)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="0 settings"):
        expected_best([], [], 1)
    with pytest.raises(ValueError, match="budget of 0"):
        expected_best([1.0], [1.0], 0)


def test_an_interval_is_repeatable_and_covers_the_estimate():
    rng = numpy.random.default_rng(3)
    by = rng.normal([[0.70], [0.72], [0.71]], 0.02, (3, 10))
    reported = rng.normal([[60], [61], [62]], 2, (3, 10))
    ((low, high),) = intervals(by.tolist(), reported.tolist(), [2])
    assert [(low, high)] == intervals(by.tolist(), reported.tolist(), [2])
    assert low < expected_best(by.mean(axis=1), reported.mean(axis=1), 2) < high


def test_an_interval_contains_the_uncertainty_of_the_choice():
    """Two settings that are equal by what they are chosen by, and 20 points apart: which one is chosen is chance."""
    rng = numpy.random.default_rng(5)
    by = rng.normal(0.7, 0.05, (2, 6)).tolist()
    ((low, high),) = intervals(by, [[50.0] * 6, [70.0] * 6], [50])
    assert (low, high) == pytest.approx((50, 70), abs=0.1)


def test_several_budgets_have_the_intervals_of_each():
    rng = numpy.random.default_rng(7)
    by, reported = rng.random((4, 5)).round(1).tolist(), rng.random((4, 5)).tolist()
    assert intervals(by, reported, [1, 3, 4]) == [intervals(by, reported, [k])[0] for k in (1, 3, 4)]


@pytest.mark.parametrize("most", [2, 20, 21, 1000])
def test_a_curve_has_few_points_from_one_setting_to_all(most):
    budgets = shown_budgets(most)
    assert (budgets[0], budgets[-1]) == (1, most)
    assert budgets == sorted(set(budgets))
    assert len(budgets) < 70
    assert most > 21 or len(budgets) == most
