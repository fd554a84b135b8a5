"""A table under overrides of what its columns set: those that have the typed value."""

from __future__ import annotations

import synthetic_store as synthetic
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
