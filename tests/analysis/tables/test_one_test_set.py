"""Tables in which all trials of a cell share one test set, or whose published number is assumed."""

from __future__ import annotations

import math
import re

import pytest
from scipy import stats

import synthetic_store as synthetic
from irm_sweeps.analysis.statistics.two_means import Summary
from irm_sweeps.analysis.tables.best_cells import MEANING, ONE_TEST_SET, with_bold
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.sweep.paper import load_paper
from table_words import records

SST = ["--paper", "bae2021", "--table", "6"]
HERE, IN_PRINT = 278, 299
ON_WHOLE = 872


@pytest.fixture(scope="module")
def sst():
    return load_paper("bae2021_table6")


def correct(of):
    """Between .52 and .56 of so many examples."""
    return lambda trial, environment: (round(0.52 * of) + trial.seed) / of


def cell_of(text):
    return records(text)["irmv1", "p_e = 0.9"]


def half(cell):
    return (float(cell["difference_high"]) - float(cell["difference_low"])) / 2


def by_hand(mean, sd, here):
    """Half of the interval, from the four terms (three, where the measured trials have a test set each)."""
    terms = [(sd**2 / 10, 9), (1.9**2 / 10, 9), (62.0 * 38.0 / IN_PRINT, IN_PRINT - 1)]
    terms += [(mean * (100 - mean) / HERE, HERE - 1)] if here else []
    variance = math.fsum(v for v, _ in terms)
    df = variance**2 / math.fsum(v * v / f for v, f in terms)
    return stats.t.ppf(0.975, df) * math.sqrt(variance)


def test_the_sampling_error_of_both_test_sets_is_in_the_interval(show, sst, tmp_path):
    synthetic.fill(tmp_path / "results", sst, "irmv1", correct(HERE))
    cell = cell_of(show(*SST, "--format", "csv"))
    assert half(cell) == pytest.approx(by_hand(float(cell["mean"]), float(cell["sd"]), here=True), rel=1e-9)
    assert 0 < half(cell) - 8 < 0.6, "1.96 times the root of two times 3 points"
    assert cell["verdict"] == ("undecided" if float(cell["p_value"]) >= 0.05 else "differs")
    text = show(*SST)
    assert "One test set: all trials of a cell share one drawn test set (examples: here 278, in print 299)" in text
    assert "m(100 - m)/examples" in text


def test_with_data_of_its_own_each_trial_has_it_in_its_spread(show, sst, tmp_path):
    user = "dataset.data_seed=null"
    synthetic.fill(tmp_path / "results", sst, "irmv1", correct(HERE), [user])
    cell = cell_of(show(*SST, "--format", "csv", user))
    assert half(cell) == pytest.approx(by_hand(float(cell["mean"]), float(cell["sd"]), here=False), rel=1e-9)
    text = show(*SST, user)
    assert "(examples: in print 299)" in text
    assert "each trial draws its own from the same pool of examples; the spread of the trials does not show" in text
    assert "pool of examples" not in show(*SST, user, "dataset.data_seed=1") + show(*SST)


def test_a_test_set_of_another_size_is_noticed(show, sst, tmp_path):
    user = "dataset.test_on=whole"
    synthetic.fill(tmp_path / "results", sst, "irmv1", correct(ON_WHOLE), [user])
    cell = cell_of(show(*SST, "--format", "csv", user))
    assert "accuracies are no multiples of 1/278" in cell["note"]
    assert half(cell) == pytest.approx(by_hand(float(cell["mean"]), float(cell["sd"]), here=False), rel=1e-9)


def test_elsewhere_nothing_is_said_of_it(show, bae, tmp_path):
    synthetic.fill(tmp_path / "results", bae, "irmv1", correct(HERE))
    text = show("--paper", "bae2021", "--table", "1")
    assert "One test set" not in text
    assert "pool of examples" not in text
    assert "assumed" not in text


def test_a_number_of_trials_that_print_does_not_give_is_called_assumed(show, sst):
    text = show(*SST)
    assert re.search(rf"over n = 10 trials, which is assumed: {re.escape(sst.published_n_assumed)}\.", text)


@pytest.mark.parametrize("examples", [None, HERE])
def test_rows_with_one_test_set_are_compared_on_it(examples):
    """By hand: the difference of 2 has an interval of ± 0.94; with the error of two test sets it would be ± 8."""
    half = stats.t.ppf(0.975, 18) * math.sqrt(2 * 1.0 / 10)
    assert half == pytest.approx(0.94, abs=0.005)
    means = {"a": 52.0, "b": 52.0 - half - 0.01, "c": 52.0 - half + 0.01}
    rows = [
        (label, [Cell(label, "p", "test/0.9/accuracy", Summary(mean, 1.0, 10, examples), None)])
        for label, mean in means.items()
    ]
    table = with_bold(Table("t", "title", ["p"], rows, [], []))
    assert table.bold == {("a", "p"), ("c", "p")}
    assert table.footer == table.brief == [MEANING + ONE_TEST_SET * (examples is not None)]
