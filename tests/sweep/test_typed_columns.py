"""Overrides of what columns set themselves choose among the columns, and no column has the trials of another."""

from __future__ import annotations

import pytest

from commands import launch
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.paper import load_paper

FOUR = ["ResNet-18, 2 Env", "ResNet-18, 4 Env", "ResNet-50, 2 Env", "ResNet-50, 4 Env"]


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        (["backbone=resnet18"], FOUR[:2]),
        (["dataset.envs=4"], FOUR[1::2]),
        (["+dataset.envs=4"], FOUR[1::2]),
        (["dataset.envs=4,2"], FOUR),
        (["backbone=resnet50", "dataset.envs=range(2,4)"], FOUR[2:3]),
        (["training.batch_size=128"], FOUR[:2]),
        (["training.batch_size=16", "lam=1"], FOUR),
        (["pair=zip(dataset.envs=[2,4],lam=[1,10])"], FOUR),
        ([], FOUR),
    ],
)
def test_a_value_that_columns_have_leaves_those(typed: list[str], left: list[str]) -> None:
    paper = load_paper("lin2021_table1")
    chosen = paper.left_by(typed)
    assert [column.label for column in chosen.columns] == left
    places = [FOUR.index(label) for label in left]
    for name, row in paper.rows.items():
        assert chosen.rows[name].published == tuple(row.published[i] for i in places)


def test_a_column_without_the_key_is_left_out_too() -> None:
    chosen = load_paper("linear_unit_tests").left_by(["dataset.scrambled=true"])
    assert [column.label for column in chosen.columns] == ["1s: MSE", "2s: accuracy", "3s: accuracy"]


@pytest.mark.parametrize("typed", ["dataset.envs=4", "dataset.envs=2,4", "backbone=resnet50"])
def test_each_trial_is_one_of_the_paper_file_s_own(typed: str) -> None:
    """Under the label of its own column, also where several values are typed: no column chooses among them."""
    paper = load_paper("lin2021_table1", only=["paper.only=[erm,invrat_ec_h]"])
    own = {
        (row.label, column.label): set(paper.cell_trials(row, column))
        for row in paper.shown.values()
        for column in paper.columns
    }
    chosen = paper.left_by([typed])
    for row in chosen.shown.values():
        for column in chosen.columns:
            assert set(chosen.cell_trials(row, column, [typed])) == own[row.label, column.label]
    ids = set.union(*(own[row.label, column.label] for row in chosen.shown.values() for column in chosen.columns))
    assert set(paper.all_trials([typed])[0]) == ids


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (
            ["dataset.envs=3"],
            "the columns 'ResNet-18, 2 Env' and 'ResNet-18, 4 Env' of lin2021_table1 would have the same",
        ),
        (
            ["backbone=resnet18", "dataset.envs=3"],
            "dataset.envs=3: the columns 'ResNet-18, 2 Env' and 'ResNet-18, 4 Env'",
        ),
        (
            ["backbone=resnet50", "training.batch_size=128"],
            "lin2021_table1 has no column with all of these; its columns: ResNet-18, 2 Env \\(backbone=resnet18 ",
        ),
    ],
)
def test_no_two_columns_have_the_same_trials(typed: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_paper("lin2021_table1").left_by(typed)


def test_a_launch_trains_those_columns() -> None:
    words = ("paper=linear_unit_tests", "paper.only=[erm]", "seed=0", "dataset.scrambled=true")
    planned = launch("-m", *words, "plan=true")
    expected, _ = load_paper("linear_unit_tests", only=words[1:2]).all_trials(words[2:])
    assert all(trial.dataset.scrambled for trial in expected.values())
    assert planned.out.startswith(f"0 done, {len(expected)} to run"), planned.out + planned.err
