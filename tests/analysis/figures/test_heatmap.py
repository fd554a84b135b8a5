"""Heat maps: a row for each method, a column for each task."""

from __future__ import annotations

from pathlib import Path

import pytest

import synthetic_store as synthetic
from figure_cases import (
    IN,
    SHIFTED,
    TASKS,
    accuracy,
    by_panel,
    fill,
    means,
    measuring,
    svg,
)
from irm_sweeps.analysis.figures import series
from irm_sweeps.analysis.figures.general import heatmap_picture, table_picture
from irm_sweeps.analysis.figures.paper_figure import lacks_of
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.paper import load_paper


def test_heat_map_has_a_column_for_each_task(tmp_path):
    fill(tmp_path, TASKS, skip=lambda t: t.method.uses_lam and t.backbone.width == 128 and t.dataset.noise_gap == 0)
    for user in (TASKS, []):
        found = heatmap_picture(measuring(tmp_path, user), "")
        columns = [f"dataset.noise_gap={gap}, backbone.width={width}" for gap in ("0", "0.05") for width in (64, 128)]
        assert sorted(found.columns) == sorted(columns)
        rows = by_panel(found)
        assert means(rows["vrex", SHIFTED]) == pytest.approx(dict.fromkeys(set(columns) - {columns[1]}, 41.0))
        assert means(rows["erm", IN]) == pytest.approx(dict.fromkeys(columns, 86.0))


def test_tasks_of_several_classes_are_told_apart_by_class():
    user = ["backbone=mlp,resnet18", "method=erm", "dataset.grayscale=true,false"]
    found = [one.label for one in series.of_overrides(user, [Path("results")], "last")]
    assert found == [
        f"erm, {backbone}, dataset.grayscale={grayscale}"
        for backbone in ("mlp", "resnet18")
        for grayscale in ("true", "false")
    ]


def test_heat_map_of_a_paper_is_its_table(tmp_path):
    demo = load_paper("demo")
    synthetic.fill(tmp_path, demo, "erm", accuracy)
    found = table_picture(Builder(demo, [tmp_path], None, []))
    assert found.columns == ["p_e = 0.1", "p_e = 0.2", "p_e = 0.9"]
    erm, irmv1, *_ = found.curves
    assert means(erm) == pytest.approx({"p_e = 0.1": 92, "p_e = 0.2": 82, "p_e = 0.9": 22})
    assert not irmv1.measured
    assert "paper.only=[irmv1]" in irmv1.remarks[0]


def test_a_cell_lacks_trials_by_the_rule_of_its_column(tmp_path):
    demo = load_paper("demo")
    first, *others = demo.columns
    paper = demo.model_copy(update={"columns": (first.model_copy(update={"select": "val"}), *others)})
    synthetic.fill(tmp_path, paper, "erm", accuracy)
    lacks = lacks_of(Builder(paper, [tmp_path], None, []), paper.rows["erm"], ["a", "b", "c"])
    assert {place: (lack.rule, lack.is_of_rule) for place, lack in lacks.items()} == {"a": ("val", True)}


def test_where_seeds_differ_in_number_a_cell_says_its_own_and_an_empty_one_is_hatched(in_folder, capsys):
    user = ["method=erm,groupdro", "backbone.width=64,128", "seed=0,1"]
    fill(
        Path("results"), user, skip=lambda t: t.backbone.width == 128 and (t.seed == 1 or "DRO" in str(type(t.method)))
    )
    text = svg(capsys, "--curves", "heatmap", *user)
    for words in ("(n=2)", "(n=1)", "n = 1 to 2 seeds", "hatched: no value, and why", ">not run<"):
        assert words in text


def regressions(store, user):
    """Risks of 2.341 and 0.012 in all environments, for two sizes of the training set; of the second, seeds differ."""
    for trial in trials(user).values():
        risk = 2.341 if trial.dataset.n_train == 10 else 0.011 + 0.002 * trial.seed
        scores = {split: {str(e): {"risk": risk} for e in range(3)} for split in ("train", "test")}
        metrics = {"last": {"step": 1, "scores": scores}, "oracle": {"step": 1, "scores": scores}}
        synthetic.write(store, {**synthetic.completed(trial, accuracy), "metrics": metrics})


def test_the_risk_of_a_regression_is_a_squared_error_and_small_ones_have_their_digits(in_folder, capsys):
    regression = ["dataset=linear_unit_tests", "dataset.example=cause_effect"]
    user = [*regression, "dataset.n_train=10,20", "seed=0,1", "method=erm,irmv1", "lam=1,10"]
    regressions(Path("results"), user)
    for curves in ("heatmap", "lam", "budget"):
        text = svg(capsys, "--curves", curves, *(user if curves != "lam" else [*user, "dataset.n_train=20"]))
        assert "mean squared error" in " ".join(text.split()), curves
        assert "nats" not in text
    text = svg(capsys, "--curves", "heatmap", *user)
    for words in (">2.341<", ">0.012<", "± 0.001<"):
        assert words in text
