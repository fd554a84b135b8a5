"""Overrides of what columns set themselves choose among the columns."""

from __future__ import annotations

import pytest

from commands import launch
from irm_sweeps.errors import UserError
from irm_sweeps.sweep import typed_columns
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.sweep.paper_parts import Column

FOUR = ["ResNet-18, 2 Env", "ResNet-18, 4 Env", "ResNet-50, 2 Env", "ResNet-50, 4 Env"]
APART = {"a": ["lam=1", "seed=1"], "b": ["lam=2", "seed=2"]}


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        (["backbone=resnet18"], FOUR[:2]),
        (["dataset.envs=4"], FOUR[1::2]),
        (["+dataset.envs=4"], FOUR[1::2]),
        (["dataset.envs=4,2"], FOUR),
        (["backbone=resnet50", "dataset.envs=2"], FOUR[2:3]),
        (["dataset.envs=2", "dataset.envs=4"], FOUR[1::2]),
        (["training.batch_size=128"], FOUR),
        (["training.batch_size=16", "lam=1"], FOUR),
        (["dataset.envs=3"], FOUR),
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
    ("name", "typed", "complaint"),
    [
        (
            "lin2021_table1",
            ["++dataset.envs=2,3"],
            r"^dataset.envs=2,3: it chooses columns of lin2021_table1, which have 2, 4, and none has 3: leave that out",
        ),
        ("bae2021_figure4", ["dataset.noise_gap=0.02,0.1"], "which have 0, 0.01, .*, and none has 0.1: leave that out"),
        (
            "linear_unit_tests",
            ["dataset.example=small_margin", "dataset.scrambled=true,false"],
            "dataset.scrambled=true,false: .* which have true, and none has false",
        ),
    ],
)
def test_values_that_no_column_has_are_refused_beside_others(name: str, typed: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_paper(name).left_by(typed)


def test_values_of_different_columns_are_refused() -> None:
    columns = [Column(label=label, metric="test/0.1/accuracy", sweep=sweep) for label, sweep in APART.items()]
    with pytest.raises(UserError, match=r"^lam=1 seed=2: mine has no column with all of these; its columns: a \(lam=1"):
        typed_columns.left("mine", columns, ["lam=1", "+seed=2"])


def test_a_column_may_take_out_a_key_or_pair_axes() -> None:
    sweeps = {"a": ["~training.l2"], "b": ["pair=zip(lam=[1,2],seed=[3,4])"]}
    columns = [Column(label=label, metric="test/0.1/accuracy", sweep=sweep) for label, sweep in sweeps.items()]
    for typed in (["~training.l2"], ["lam=1"], ["pair=3"]):
        assert typed_columns.left("mine", columns, typed) == [0, 1]
        assert typed_columns.without_own(columns[0], columns, typed) == typed


def test_some_of_a_column_s_values_are_those_alone() -> None:
    columns = [Column(label="a", metric="test/0.1/accuracy", sweep=["lam=1,10"])]
    assert typed_columns.without_own(columns[0], columns, ["lam=10"]) == ["lam=10"]
    assert typed_columns.without_own(columns[0], columns, ["lam=10,1"]) == []


def test_what_replaces_a_column_s_own_is_told() -> None:
    columns = load_paper("lin2021_small").columns
    told = list(typed_columns.replaced(columns, ["++dataset.envs=3", "seed=1", "p=zip(dataset.envs=[4],lam=[1])"]))
    had = "(2 Env, val: 2; 2 Env, oracle: 2; 4 Env, val: 4; 4 Env, oracle: 4)"
    assert told == [f"dataset.envs=3 {had}", f"p=zip(dataset.envs=[4],lam=[1]) {had}"]
    assert list(typed_columns.replaced(columns, ["dataset.envs=2"])) == []


def test_a_launch_trains_those_columns() -> None:
    words = ("paper=linear_unit_tests", "paper.only=[erm]", "seed=0", "dataset.scrambled=true")
    planned = launch("-m", *words, "plan=true")
    expected, _ = load_paper("linear_unit_tests", only=words[1:2]).all_trials(words[2:])
    assert all(trial.dataset.scrambled for trial in expected.values())
    assert planned.out.startswith(f"0 done, {len(expected)} to run"), planned.out + planned.err
