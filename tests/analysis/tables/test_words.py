"""The words in cells and in the notes under a table, in cases where they could be wrong."""

from __future__ import annotations

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis.figures.general import table_picture
from irm_sweeps.analysis.statistics.two_means import Verdict
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.analysis.tables.cell_text import difference_text
from irm_sweeps.analysis.tables.table import Cell
from irm_sweeps.sweep.paper import load_paper
from table_words import by_seed


@pytest.mark.parametrize(
    ("difference", "interval", "printed"),
    [
        (-0.96, (-1.9, -0.015), "-1.0 [-1.9, -0.0]"),
        (0.96, (0.015, 1.9), "+1.0 [+0.0, +1.9]"),
        (-0.9, (-1.8, 0.04), "-0.9 [-1.8, +0.0]"),
        (-0.03, (-0.04, -0.02), "-0.0 [-0.0, -0.0]"),
        (0.0, (0.0, 0.0), "+0.0 [+0.0, +0.0]"),
        (-0.0, (-0.0, -0.0), "+0.0 [+0.0, +0.0]"),
    ],
)
def test_a_bound_says_on_which_side_of_zero_it_is(difference, interval, printed):
    cell = Cell("a", "b", "test/0.9/accuracy", None, None, Verdict("differs", difference, 0.04, interval))
    assert difference_text(cell) == printed


def footer_of(paper, root, user=()):
    return Builder(paper, [root], None, user).table().footer


def fill(root, paper, *rows, user=()):
    for row in rows:
        for column in paper.columns:
            trials = paper.cell_trials(paper.rows[row], column, user).values()
            synthetic.write(root, *(synthetic.completed(trial, by_seed, 0.7) for trial in trials))


def test_the_penalty_weight_of_each_column_is_said(tmp_path):
    paper = load_paper("protocols")
    fill(tmp_path, paper, "irmv1_paper", "rex_paper")
    low, high = '"lam 10, p_e = 0.1", "lam 10, p_e = 0.9"', '"lam 1000, p_e = 0.1", "lam 1000, p_e = 0.9"'
    said = [line for line in footer_of(paper, tmp_path) if line.startswith("Penalty")]
    assert said == [f"Penalty weight lam of IRMv1, paper; REx, paper: 10 in {low}; 1000 in {high}."]


def test_a_weight_that_was_chosen_in_another_column_is_not_the_row_s(demo, tmp_path):
    columns = [c.model_copy(update={"sweep": ("lam=1,10",) if i else ("lam=5",)}) for i, c in enumerate(demo.columns)]
    paper = demo.model_copy(update={"columns": tuple(columns[:2])})
    fill(tmp_path, paper, "vrex")
    assert 'Penalty weight lam of V-REx: 5 in "p_e = 0.1".' in footer_of(paper, tmp_path)


CHOSEN = "Of several hyperparameter settings"
BY_TEST, BY_VAL = "a cell shows the one with the best mean of", "a cell shows the one with the highest mean accuracy on"


@pytest.mark.parametrize(
    ("select", "own", "said"),
    [
        ("val", "last", [(" of IRMv1 (", BY_VAL), (" of V-REx (", BY_TEST)]),
        ("val", "val", [(" (", BY_VAL)]),
        ("last", "oracle", [(" (", BY_TEST)]),
    ],
)
def test_how_a_setting_is_chosen_is_said_by_the_row_s_own_rule(demo, tmp_path, select, own, said):
    rows = {name: demo.rows[name] for name in ("erm", "irmv1", "vrex")}
    rows["vrex"] = rows["vrex"].model_copy(update={"select": own})
    paper = demo.model_copy(update={"rows": rows, "select": select})
    fill(tmp_path, paper, *rows, user=["lam=1,10"])
    lines = [line for line in footer_of(paper, tmp_path, ["lam=1,10"]) if line.startswith(CHOSEN)]
    assert len(lines) == len(said)
    for line, (whose, best) in zip(lines, said, strict=True):
        assert line.startswith(CHOSEN + whose)
        assert best in line
    caption = table_picture(Builder(paper, [tmp_path], None, ["lam=1,10"])).caption
    assert all(line in caption for line in lines)


def test_a_row_with_one_setting_is_not_said_to_have_several(demo, tmp_path):
    """The table's rule is no row's with several settings."""
    rows = {"erm": demo.rows["erm"], "vrex": demo.rows["vrex"].model_copy(update={"select": "last"})}
    paper = demo.model_copy(update={"rows": rows, "select": "val"})
    fill(tmp_path, paper, *rows, user=["lam=1,10"])
    (line,) = [line for line in footer_of(paper, tmp_path, ["lam=1,10"]) if line.startswith(CHOSEN)]
    assert BY_TEST in line
