"""A table under overrides of what its columns set: those that have the typed value."""

from __future__ import annotations

import synthetic_store as synthetic
from irm_sweeps.analysis.papers.runs import PaperRuns
from irm_sweeps.analysis.readings import Results
from irm_sweeps.sweep.paper import load_paper
from table_words import records

FOUR_ENVIRONMENTS = ("paper.only=[erm]", "seed=0", "dataset.envs=4", "training.steps=10")


def test_a_column_of_other_trials_is_not_shown(show, tmp_path) -> None:
    paper = load_paper("lin2021_small")
    (trial,) = paper.cell_trials(paper.rows["erm"], paper.columns[2], [*FOUR_ENVIRONMENTS[1:]]).values()
    synthetic.write(tmp_path / "results", synthetic.completed(trial, lambda *_: 0.4, 0.4))
    text = show("--paper", "lin2021_small", *FOUR_ENVIRONMENTS, "--format", "md")
    assert "Columns left by the overrides: 4 Env, val; 4 Env, oracle." in text
    cells = records(show("--paper", "lin2021_small", *FOUR_ENVIRONMENTS, "--format", "csv"))
    assert {column: (cell["n"], cell["published_mean"]) for (_, column), cell in cells.items()} == {
        "4 Env, val": ("1", "35.7"),
        "4 Env, oracle": ("1", "35.7"),
    }


def test_a_run_of_an_earlier_version_that_would_be_refused_now_is_left_alone(show, tmp_path, monkeypatch) -> None:
    """Its overrides had values of some columns and others."""
    monkeypatch.setattr(PaperRuns, "_launched", [({"linear_unit_tests"}, ["dataset.scrambled=true,false"])])
    chosen, remark = PaperRuns([tmp_path]).choose(load_paper("linear_unit_tests"), Results([tmp_path]))
    assert chosen == []
    assert remark.startswith(
        "the latest run of linear_unit_tests is not shown: dataset.scrambled=true,false: it chooses"
    )
    assert "1: MSE" in show("--paper", "linear_unit_tests", "--format", "md")


def test_what_replaces_a_column_s_own_value_is_told(show) -> None:
    text = show("--paper", "linear_unit_tests", "paper.only=[erm]", "dataset.scrambled=false", "--format", "md")
    had = "1s: MSE: true; 2s: accuracy: true; 3s: accuracy: true"
    assert f"Replaced, of what the columns' labels may stand for: dataset.scrambled=false ({had})." in text
