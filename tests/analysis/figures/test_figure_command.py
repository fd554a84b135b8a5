"""The figure command: what pictures say, the tasks of a store, and mistakes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import synthetic_store as synthetic
from figure_cases import (
    IN,
    ONE,
    SHIFTED,
    SWEEP,
    TASKS,
    accuracy,
    fill,
    measuring,
    run,
    svg,
    trained,
)
from irm_sweeps.analysis import figure_command
from irm_sweeps.analysis.figures import budget, metrics, series
from irm_sweeps.analysis.figures.general import lam_picture
from irm_sweeps.analysis.figures.measuring import Measuring
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report import inventory
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.grid import trials


def test_pictures_name_axes_units_rule_and_n(in_folder, capsys):
    trained(Path("results"), TASKS)
    for curves, words in (
        ("lam", ["penalty weight lam", "accuracy (%)", "n = 2 seeds", "1000", "erm", "(no lam)"]),
        ("training", ["step", "accuracy (%)", "n = 2 seeds", "every step is shown"]),
        ("heatmap", ["accuracy (%)", "n = 2 seeds", "41.0", "± 1.4", "backbone.width=128"]),
    ):
        text = svg(capsys, "--curves", curves, *TASKS)
        for word in (*words, "Selection rule last", IN, SHIFTED, "vrex"):
            assert word in text, (curves, word)
    text = svg(capsys, "--curves", "training", "--quantity", "penalty", "--log-y", *TASKS)
    assert "penalty" in text
    figure_command.main(["--curves", "lam", "--results", "results"])
    assert Path("results/lam.png").read_bytes().startswith(b"\x89PNG")


def test_a_search_is_drawn_over_its_budget_for_each_rule(in_folder, capsys):
    """At 0.9 the settings of lam have 31, 31.1 and 41 %; only the oracle's rule is stored, for two methods with lam."""
    fill(Path("results"), SWEEP)
    text = svg(capsys, "--curves", "budget", *SWEEP)
    for word in ("settings tried", "expected accuracy (%)", "oracle: test-domain validation", "irmv1", "vrex"):
        assert word in text
    assert "Nothing is stored for val" in text
    assert ">erm<" not in text, "a method with one setting has nothing to choose"
    results = Results([Path("results")])
    (irmv1, _) = budget.searches(measuring(Path("results"), SWEEP).series, results, "oracle", metrics.DEFAULT[1])
    assert [sum(row) / 2 for row in irmv1.reported] == pytest.approx([31, 31.1, 41])
    assert "sweep one, e.g. lam=1,10,100" in run(capsys, "--curves", "budget", "method=erm", *SWEEP[2:])


def test_accuracy_under_shift_is_drawn_over_accuracy_in_distribution(in_folder, capsys):
    many = [*SWEEP[:2], "seed=range(0,4)", SWEEP[3]]
    fill(Path("results"), many)
    text = svg(capsys, "--curves", "line", *many)
    text_words = re.sub(r"\s+", " ", " ".join(re.findall(r">([^<]+)<", text)))
    for word in (IN, SHIFTED, "correlation", "28 trials of 7 settings", "irmv1", "vrex", "erm", "Selection rule last:"):
        assert word in text_words, word
    assert "nothing" not in text
    assert "no trial has an accuracy" in run(capsys, "--curves", "line", "method=erm", "seed=9", SWEEP[3])
    assert "--metric goes with" in run(capsys, "--curves", "line", "--metric", "test/0.5/accuracy", *many)


def test_the_rule_is_val_where_settings_are_compared_and_hold_images_back(in_folder, capsys):
    for user, rule in (
        (["method=irmv1", "lam=1,10", "seed=0,1", "dataset.n_val=500"], "val"),
        (["method=irmv1", "lam=1,10", "seed=0,1"], "last"),
    ):
        synthetic.write(Path("results"), *(synthetic.completed(t, accuracy, 0.7) for t in trials(user).values()))
        assert f"Selection rule {rule}:" in svg(capsys, "--curves", "lam", *user)
        assert "Selection rule oracle:" in svg(capsys, "--curves", "lam", "--select", "oracle", *user)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--curves", "lamb", "seed=0"], "no 'lamb' (did you mean `lam`?); choose from"),
        (["seed=0"], "give --paper NAME for its figure, or --curves lam|training|heatmap"),
        (["--curves", "lam"], "no results in results: give --results DIR, or run a sweep first"),
        (["--curves", "lam", *SWEEP], "nothing measured yet, so nothing to draw: run irm-sweeps launch -m method=erm"),
        (["--curves", "lam", "method=irmv1", "lam=10"], "the only penalty weight is lam=10; sweep it"),
        (["--curves", "lam", "method=erm"], "no method here has a penalty weight"),
        (["--curves", "heatmap", "method=erm,irmv1"], "one backbone and one dataset"),
        (["--curves", "lam", "paper=demo"], "paper=demo: say --paper demo"),
        (["--curves", "lam", "--table", "1"], "--table 1: of which paper? add --paper NAME"),
        (["--curves", "lam", "--quantity", "risks"], "--quantity and --log-y go with --curves training"),
        (["--paper", "demo", "--metric", "test/0.9/accuracy"], "--metric goes with --curves"),
        (["--curves", "lam", "--metric", "shifted", *SWEEP], "metric 'shifted'"),
        (["--curves", "lam", "method=irmv2"], "method=irmv2: no such method"),
    ],
)
def test_mistakes_are_one_line(in_folder, capsys, argv, words):
    error = run(capsys, *argv)
    assert error.startswith("error: ")
    assert words in error


def test_a_store_of_unlike_trials_is_split_into_panels_or_refused(in_folder, capsys):
    """Nobody typed the two sweeps as one search, so that 20 steps and 500 steps are in no line together."""
    for steps in (20, 500):
        fill(Path("results"), [*SWEEP, f"training.steps={steps}", f"optimizer.lr={0.1 if steps == 20 else 0.2}"])
    measured = Measuring(
        series.of_store(Results([Path("results")]), "last")[0],
        Results([Path("results")]),
        metrics.DEFAULT,
        by_task=True,
    )
    picture = lam_picture(measured, "")
    tasks = [f"optimizer.lr={lr}, training.steps={steps}" for lr, steps in ((0.1, 20), (0.2, 500))]
    assert sorted({curve.panel for curve in picture.curves}) == [
        f"{t}\n{task}" for t in (IN, SHIFTED) for task in tasks
    ]
    assert picture.side_by_side == 2
    assert "dataset=colored_mnist" in picture.setting
    assert "training.steps" not in picture.setting
    assert {summary.n for curve in picture.curves for summary in curve.measured.values()} == {2}
    text = svg(capsys, "--curves", "lam")
    for word in ("optimizer.lr=0.1, training.steps=20", "training.steps=500", "dataset=colored_mnist"):
        assert word in text
    for width in (8, 16, 32, 64):
        fill(Path("results"), ["method=irmv1", "lam=1,10", "seed=0", f"backbone.width={width}"])
    refused = run(capsys, "--curves", "lam")
    assert "--curves lam: the store has 6 tasks, and it shows 4: they differ in dataset.source (" in refused
    assert "backbone.width (8, 16, 32, 64, ...)" in refused
    assert "training.steps (" in refused
    assert "or to the trials that overrides make" in refused


def test_a_line_over_accuracies_is_of_one_data_set(in_folder, capsys):
    user = ["method=irmv1", "lam=1,10", "seed=range(0,5)", "dataset.noise_gap=0,0.05"]
    fill(Path("results"), user)
    text = svg(capsys, "--curves", "line", *user)
    assert text.count("over 10 trials") + text.count("through 10 trials") == 2
    assert "dataset.noise_gap=0.05" in text


def test_run_but_not_selected_is_another_thing_than_not_run(in_folder, capsys):
    fill(Path("results"), ONE)
    error = run(capsys, "--curves", "lam", "--select", "stop", "method=irmv1", "lam=1,10", "seed=0,1", ONE[-1])
    assert "nothing to draw, though trials have run: selection rule stop chose no step of them" in error
    assert "--select last" in error
    tasks = ["method=irmv1", "lam=1", "seed=0,1", "backbone.width=64,128", ONE[-1]]
    (trial, *_) = trials(tasks).values()
    result = synthetic.completed(trial, accuracy)
    result["metrics"]["stop"] = result["metrics"]["last"]
    other = list(trials(tasks).values())[-1]
    synthetic.write(Path("results"), result, synthetic.completed(other, accuracy))
    text = svg(capsys, "--curves", "heatmap", "--select", "stop", *tasks)
    assert "chose no step" in text


def test_what_a_store_names_is_imported_only_when_trusted(tmp_path, monkeypatch, capsys):
    """A class of one's own: refused with the reason, drawn with --trust, made again with it."""
    (tmp_path / "own_method.py").write_text("from irm_sweeps.methods.rex import VREx\n\n\nclass Own(VREx):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for trial in trials(["method=vrex", "method._target_=own_method.Own", "lam=1,10", "seed=0,1"]).values():
        result = synthetic.completed(trial, accuracy)
        synthetic.write(tmp_path / "results", result)
    entry = inventory.entry(Result.from_values(result), tmp_path / "results", "Own seed=1")
    assert entry.command == f"irm-sweeps reproduce {trial.id} --trust"
    monkeypatch.delitem(sys.modules, "own_method")
    with pytest.raises(SystemExit):
        figure_command.main(["--curves", "lam"])
    told = capsys.readouterr().err
    assert told.startswith("error: no result can be drawn: skipped 4 trials (")
    assert "method._target_='own_method.Own' is no class of irm_sweeps" in told
    assert told.endswith("; add --trust if it is yours or of somebody you trust\n")
    figure_command.main(["--curves", "lam", "--trust"])
    assert capsys.readouterr().out == "results/lam.png\n"
