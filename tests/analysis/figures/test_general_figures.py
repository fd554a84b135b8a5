"""Figures over the penalty weight, over training and as heat maps, of papers, sweeps and stores."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis import figure_command
from irm_sweeps.analysis.figures import budget, metrics, series
from irm_sweeps.analysis.figures.drawing import figure_of
from irm_sweeps.analysis.figures.general import heatmap_picture, lam_picture, table_picture, training_picture
from irm_sweeps.analysis.figures.measuring import Measuring
from irm_sweeps.analysis.figures.paper_figure import lacks_of
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report import inventory
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.errors import UserError
from irm_sweeps.store import claims
from irm_sweeps.store.live_history import LiveHistory
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.paper import load_paper

SWEEP = ["method=erm,irmv1,vrex", "lam=0,10,1000", "seed=0,1", "dataset.source=embedded"]
IN, SHIFTED = "in distribution: test environments 0.1, 0.2", "shifted: test environment 0.9"


pytestmark = pytest.mark.usefixtures("composed_once")


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def accuracy(trial, environment):
    """At 0.9: 0.2 without lam, else 0.3 + lam / 10,000; two points more with seed 1."""
    shifted = 0.2 if trial.lam is None else 0.3 + trial.lam / 10_000
    return {"0.1": 0.9, "0.2": 0.8}.get(environment, shifted) + 0.02 * trial.seed


def fill(store, user, skip=lambda trial: False):
    found = [trial for trial in trials(user).values() if not skip(trial)]
    synthetic.write(store, *(synthetic.completed(trial, accuracy) for trial in found))
    return found


def measuring(store, user, rule="last", panels=metrics.DEFAULT):
    results = Results([store])
    found = series.of_overrides(user, [store], rule) if user else series.of_store(results, rule)[0]
    return Measuring(found, results, panels)


def over_lam(store, user, panels=metrics.DEFAULT):
    return lam_picture(measuring(store, user, panels=panels), "")


def over_training(store, user, quantity=None):
    return training_picture(measuring(store, user), "", quantity)


def by_panel(picture):
    return {(curve.label, curve.panel): curve for curve in picture.curves}


def drawn_text(picture):
    return figure_of(picture)._supxlabel.get_text().replace("\n", " ")


def means(curve):
    return {place: summary.mean for place, summary in curve.measured.items()}


def run(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        figure_command.main(argv)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_over_lam_each_method_is_a_line_with_mean_and_sd_in_both_panels(tmp_path):
    fill(tmp_path, SWEEP)
    found = by_panel(over_lam(tmp_path, SWEEP))
    assert list(found) == [(label, panel) for label in ("erm (no lam)", "irmv1", "vrex") for panel in (IN, SHIFTED)]
    assert means(found["irmv1", SHIFTED]) == pytest.approx({"0": 31, "10": 31.1, "1000": 41})
    assert found["irmv1", SHIFTED].measured["10"].sd == pytest.approx(2 / 2**0.5)
    assert found["irmv1", SHIFTED].measured["10"].n == 2
    assert means(found["irmv1", IN])["10"] == pytest.approx(86), "the mean of 0.1 and 0.2"
    assert means(found["erm (no lam)", SHIFTED]) == pytest.approx({"0": 21, "10": 21, "1000": 21}), "a flat line"


def test_a_store_without_overrides_shows_the_same(tmp_path):
    fill(tmp_path, SWEEP)
    asked, whole = (by_panel(over_lam(tmp_path, user)) for user in (SWEEP, []))
    assert {key: means(curve) for key, curve in whole.items()} == {key: means(curve) for key, curve in asked.items()}


def test_what_is_missing_diverged_or_failed_is_said_with_a_command(tmp_path):
    fill(tmp_path, SWEEP, skip=lambda trial: trial.lam == 1000 or (trial.lam == 10 and trial.seed == 1))
    lost = [t for t in trials(SWEEP).values() if t.lam == 10 and t.seed == 1]
    synthetic.write(tmp_path, synthetic.diverged(lost[0], 7), synthetic.failed(lost[1], "boom"))
    found = by_panel(over_lam(tmp_path, SWEEP))
    irmv1, vrex = found["irmv1", IN], found["vrex", IN]
    assert list(irmv1.measured) == ["0", "10"]
    assert irmv1.measured["10"].n == 1
    command = f"python launch.py -m {' '.join(SWEEP)} results={tmp_path}"
    assert f"irmv1: no result yet: 2 of 6 trials: {command}" in irmv1.remarks
    assert any(f"diverged, left out: 1 of 6 trials: {lost[0].id}" in remark for remark in irmv1.remarks)
    assert any("boom" in remark and remark.endswith(f"{command} rerun=failed") for remark in vrex.remarks)
    assert not found["irmv1", SHIFTED].remarks, "said once"


def test_of_several_settings_at_one_lam_the_best_is_drawn_and_named(tmp_path):
    user = ["method=irmv1", "lam=1,10", "optimizer.lr=0.1,0.2", "seed=0"]
    own = trials(user).values()
    synthetic.write(tmp_path, *(synthetic.completed(t, lambda t, e: t.optimizer.lr + t.lam / 100) for t in own))
    found = over_lam(tmp_path, user)
    curve = found.curves[1]
    assert means(curve) == pytest.approx({"1": 21, "10": 30})
    assert "irmv1 at lam=10: setting: optimizer.lr=0.2 of 0.1, 0.2" in found.curves[0].remarks[1]
    assert "Selection rule last: each trial is scored at the end of training; of several settings" in found.caption
    assert SHIFTED in found.caption


def test_named_metrics_are_the_panels(tmp_path):
    fill(tmp_path, SWEEP)
    panels = [metrics.named(metric) for metric in ("test/0.2/accuracy", "train/mean/accuracy")]
    found = by_panel(over_lam(tmp_path, SWEEP, panels))
    assert means(found["vrex", "test environment 0.2"])["10"] == pytest.approx(81)
    assert means(found["vrex", "mean of train environments"])["10"] == pytest.approx(85)


def test_where_the_shifted_environment_has_a_training_name_it_is_not_called_in_distribution(tmp_path):
    user = ["dataset=linear_unit_tests", "backbone.depth=0", "method=irmv1", "lam=1,10", "seed=0"]
    (trial, *_) = trials(user).values()
    names = {str(i): {"risk": 1.0, "accuracy": 0.5} for i in range(trial.dataset.environments)}
    shifted, alike = metrics.DEFAULT[1], metrics.DEFAULT[0]
    assert shifted.metrics(trial, {})[0].startswith(f"test/{trial.dataset.shifted}/")
    assert alike.metrics(trial, {"train": names, "test": names})[0].startswith("train/mean/")
    assert alike.metrics(trial, {"train": names, "test": names, "val": names})[0].startswith("val/mean/")


def trained(store, user):
    """Evaluations of 0.1 x step / 10 more accuracy at each, and a logged penalty."""
    Store(store).prepare()
    for trial in trials(user).values():
        rows = []
        for step in (0, 10, 20):
            scores = synthetic.completed(trial, lambda t, e, s=step: accuracy(t, e) - 0.2 + s / 100)
            rows += [{"step": step, "scores": scores["metrics"]["last"]["scores"]}]
            rows += [{"step": step, "penalty": (1 + trial.seed) * 10.0 ** -(step // 10), "risks": [0.1, 0.3]}]
        Store(store).write_result(synthetic.completed(trial, accuracy), rows)


def test_over_training_evaluations_of_the_chosen_setting(tmp_path):
    trained(tmp_path, SWEEP)
    found = over_training(tmp_path, SWEEP)
    curves = by_panel(found)
    assert means(curves["irmv1", SHIFTED]) == pytest.approx({"0": 21, "10": 31, "20": 41}), "lam=1000"
    assert means(curves["erm", IN]) == pytest.approx({"0": 66, "10": 76, "20": 86})
    assert curves["erm", IN].measured["10"].sd == pytest.approx(2 / 2**0.5)
    assert "setting: lam=1000 of 0, 10, 1000" in curves["irmv1", IN].remarks[0]
    assert "every step is shown" in found.caption


def test_over_training_a_logged_quantity(tmp_path):
    trained(tmp_path, SWEEP)
    (erm, *_) = over_training(tmp_path, SWEEP, "penalty").curves
    assert erm.panel is None
    assert means(erm) == pytest.approx({"0": 1.5, "10": 0.15, "20": 0.015})
    (erm, *_) = over_training(tmp_path, SWEEP, "loss").curves
    assert not erm.measured
    assert "has no loss in its history (has penalty, risks)" in erm.remarks[0]


TASKS = [*SWEEP, "backbone.width=64,128", "dataset.noise_gap=0,0.05"]


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


def test_lines_of_a_paper_are_its_rows(tmp_path):
    demo, user = load_paper("demo"), ["lam=1,100"]
    for row in demo.rows:
        synthetic.fill(tmp_path, demo, row, accuracy, user)
    builder = Builder(demo, [tmp_path], None, user)
    rows, _ = series.of_paper(builder)
    found = by_panel(lam_picture(Measuring(rows, builder.results, metrics.DEFAULT), ""))
    assert means(found["V-REx", SHIFTED]) == pytest.approx({"1": 32.01, "100": 33})
    assert {label for label, _ in found} == {"ERM (no lam)", "IRMv1", "V-REx", "ERM (grayscale) (no lam)"}


def svg(capsys, *argv):
    figure_command.main([*argv, "--output", "picture.svg"])
    assert capsys.readouterr().out == "picture.svg\n"
    return Path("picture.svg").read_text()


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


def test_where_seeds_differ_in_number_a_cell_says_its_own_and_an_empty_one_is_hatched(in_folder, capsys):
    user = ["method=erm,groupdro", "backbone.width=64,128", "seed=0,1"]
    fill(
        Path("results"), user, skip=lambda t: t.backbone.width == 128 and (t.seed == 1 or "DRO" in str(type(t.method)))
    )
    text = svg(capsys, "--curves", "heatmap", *user)
    for words in ("(n=2)", "(n=1)", "n = 1 to 2 seeds", "hatched: no value, and why", ">not run<"):
        assert words in text


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


def test_one_evaluation_makes_no_curve(tmp_path):
    fill(tmp_path, SWEEP)
    trial = next(iter(trials(SWEEP).values()))
    Store(tmp_path).retire(trial.id, "completed")
    Store(tmp_path).write_result(
        synthetic.completed(trial, accuracy),
        [{"step": 5, "scores": synthetic.completed(trial, accuracy)["metrics"]["last"]["scores"]}],
    )
    with pytest.raises(UserError, match=re.escape("training.evaluate_every=K")):
        over_training(tmp_path, SWEEP)


ONE = ["method=irmv1", "lam=1", "seed=0,1,2,3", "dataset.source=embedded"]


def test_over_training_no_seed_is_dropped(tmp_path):
    """Two of four seeds go to the end: their mean is over both at every step, and the others are lines of their own."""
    trained(tmp_path, ONE)
    _, _, diverging, running = trials(ONE).values()
    store = Store(tmp_path)
    rows = [{"step": s, "penalty": 2.0**s} for s in (0, 10)]
    for trial in (diverging, running):
        store.retire(trial.id, "completed")
        store.folder(trial.id).joinpath("history.jsonl").unlink()
    store.write_result({**synthetic.diverged(diverging, 12), "history_rows": 2}, rows)
    assert claims.acquire(store, running.id, "launch", 20, 1)
    LiveHistory(store, running.id).write(rows[:1])
    picture = over_training(tmp_path, ONE, "penalty")
    (curve,) = picture.curves
    assert means(curve) == pytest.approx({"0": 1.5, "10": 0.15, "20": 0.015})
    assert {summary.n for summary in curve.measured.values()} == {2}
    assert [(s.ending, list(s.values)) for s in curve.strands] == [("diverged", ["0", "10"]), ("running", ["0"])]
    assert "irmv1: drawn as far as they go, and in no mean: 1 diverged, 1 running" in curve.remarks
    assert not any("left out" in remark or "no result yet" in remark for remark in curve.remarks)
    assert "seeds that are in no mean (irmv1: 1 diverged (x), 1 still running (>))" in drawn_text(picture)
    (axes,) = figure_of(picture).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 10, 20], [0, 10], [10], [0], [0]]


def test_what_is_being_trained_is_part_of_a_store(tmp_path):
    found = list(trials(ONE).values())
    store = Store(tmp_path)
    store.prepare()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    write_manifest(store, "sweep", {t.id: t.canonical for t in found}, [[t.id for t in found]], run)
    claims.acquire(store, found[0].id, "launch", 20, 1)
    assert [t.id for one in series.of_store(Results([tmp_path]), "last")[0] for t in one.trials] == [found[0].id]


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


def test_zero_stands_apart_on_the_axis_of_lam(tmp_path):
    fill(tmp_path, SWEEP)
    picture = over_lam(tmp_path, SWEEP)
    axes = figure_of(picture).axes[1]
    parts = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "s"]
    assert parts == [[10, 1000], pytest.approx([min(axes.get_xticks())])]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "10", "1000"]
    assert 0 < min(axes.get_xticks()) < 10
    assert "0 stands left of the break: a logarithmic axis has none." in drawn_text(picture)


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
    assert told.startswith("error: none of 4 results can be drawn; skipped trial ")
    assert "method._target_='own_method.Own' is no class of irm_sweeps" in told
    figure_command.main(["--curves", "lam", "--trust"])
    assert capsys.readouterr().out == "results/lam.png\n"


def test_a_quantity_has_a_file_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "results", SWEEP)
    for quantity in ("penalty", "risks"):
        figure_command.main(["--curves", "training", "--quantity", quantity, *SWEEP])
        assert capsys.readouterr().out == f"results/training_{quantity}.png\n"
