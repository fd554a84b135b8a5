"""The figures: what is drawn, where it is saved, and the message if there is nothing to draw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.collections import LineCollection

import synthetic_store as synthetic
from irm_sweeps.analysis import figure_command
from irm_sweeps.analysis.figures import plots
from irm_sweeps.analysis.figures.drawing import draw, figure_of
from irm_sweeps.analysis.figures.paper_figure import paper_picture
from irm_sweeps.analysis.figures.picture import Curve, Picture, Strand
from irm_sweeps.analysis.figures.scales import Range
from irm_sweeps.analysis.statistics.two_means import Summary
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.errors import UserError
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.metric import parts
from irm_sweeps.sweep.paper import Figure as PaperFigure
from irm_sweeps.sweep.paper import load_paper

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("composed_once")


def falling(trial, environment):
    return 1 - float(environment) + 0.01 * trial.seed


def curves_of(builder, figure=None):
    if figure is not None:
        builder.paper = builder.paper.model_copy(update={"figure": figure})
    return paper_picture(builder).curves


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_curve_is_mean_and_sd_over_all_test_environments(bae, tmp_path):
    synthetic.fill(tmp_path, bae, "erm", falling, ["seed=range(0,3)"])
    found = {c.label: c for c in curves_of(Builder(bae, [tmp_path], "last", ["seed=range(0,3)"]))}
    erm = found["ERM"]
    assert list(erm.measured) == synthetic.ENVIRONMENTS
    assert erm.measured["0.4"].mean == pytest.approx(61)
    assert erm.measured["0.4"].sd == pytest.approx(1)
    assert erm.measured["0.4"].n == 3
    assert list(erm.published) == ["0.1", "0.2", "0.9"]
    assert erm.published["0.9"] == Summary(16.4, 0.8, 10)
    assert found["Random"].reference
    assert not found["V-REx"].measured
    command = bae.command("vrex", ["seed=range(0,3)", f"results={tmp_path}"])
    assert found["V-REx"].remarks == [f"V-REx: no result yet: 3 of 3 trials: {command}"]


def test_of_several_settings_one_is_drawn_and_named(bae, tmp_path):
    user = ["seed=0,1", "lam=1,10"]
    synthetic.fill(tmp_path, bae, "vrex", lambda t, e: 0.5 + t.lam / 100, user)
    found = {c.label: c for c in curves_of(Builder(bae, [tmp_path], "last", user))}["V-REx"]
    assert found.measured["0.5"].mean == pytest.approx(60)
    assert "setting: lam=10 of 1, 10" in found.remarks[0]


@pytest.mark.parametrize(("name", "start"), [("f.png", b"\x89PNG"), ("f.pdf", b"%PDF"), ("f.svg", b"<?xml")])
def test_picture_is_saved_and_its_path_printed(in_folder, capsys, bae, name, start):
    synthetic.fill(in_folder / "results", bae, "erm", falling, ["seed=0,1"])
    figure_command.main(["--paper", "bae2021", "--table", "1", "seed=0,1", "--output", f"deep/{name}"])
    assert capsys.readouterr().out == f"deep/{name}\n"
    assert (in_folder / "deep" / name).read_bytes().startswith(start)


def test_default_is_a_png_in_the_store(in_folder, capsys):
    demo = load_paper("demo")
    synthetic.fill(in_folder / "here", demo, "erm", falling)
    trials = synthetic.trials_of(demo, "vrex")
    synthetic.write(in_folder / "here", synthetic.diverged(trials[0], 7))
    figure_command.main(["--paper", "demo", "--results", "here"])
    said = capsys.readouterr()
    assert said.out == "here/demo.png\n"
    assert f"V-REx: diverged, left out: 1 of 3 trials: {trials[0].id}" in said.err


def test_svg_has_labels_units_and_open_markers_and_is_reproducible(bae, tmp_path):
    for row in ("erm", "irmv1"):
        synthetic.fill(tmp_path, bae, row, falling, ["seed=0,1"])
    paper = bae.model_copy(update={"figure": bae.figure.model_copy(update={"label": "A title"})})
    picture = paper_picture(Builder(paper, [tmp_path], "last", ["seed=0,1"]))
    svg = draw(picture, "svg")
    text = svg.decode()
    axes = ["test accuracy (%)", "of the test environment"]
    for words in (*axes, "ERM", "IRMv1", "published", "Random", "Optimal"):
        assert words in text
    assert "n = 2 seeds" in text
    assert "A title" in text
    assert "#0072b2" in text
    assert "#d55e00" in text
    assert svg == draw(picture, "svg")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--paper", "demo"], "nothing measured yet, so nothing to draw: run irm-sweeps launch -m paper=demo"),
        (
            ["--paper", "demo", "--output", "x.jpg"],
            "x.jpg: give a file that ends in .png, .pdf or .svg",
        ),
        (["--paper", "nobody"], "no conf/paper/nobody.yaml"),
    ],
)
def test_mistakes_are_one_line(in_folder, capsys, argv, words):
    with pytest.raises(SystemExit) as stop:
        figure_command.main(argv)
    error = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert words in error


def test_a_paper_without_figure_says_what_to_add(in_folder, capsys, monkeypatch, bae):
    monkeypatch.setattr(figure_command, "find_paper", lambda *asked: bae.model_copy(update={"figure": None}))
    with pytest.raises(SystemExit):
        figure_command.main(["--paper", "bae2021", "--table", "1"])
    assert "conf/paper/bae2021_table1.yaml has no section `figure`" in capsys.readouterr().err


# The other kinds.


FEW = ["seed=0,1,2"]


def drawn(paper, store, user=FEW):
    picture = paper_picture(Builder(paper, [store], None, user))
    return {curve.label: curve for curve in picture.curves}, draw(picture, "svg").decode()


def write(store, trial, extra, history=()):
    result = synthetic.completed(trial, lambda t, e: 0.5)
    for chosen in result["metrics"].values():
        chosen["scores"].update(extra)
    result["metrics"]["stop"] = result["metrics"]["last"]
    Store(store).prepare()
    Store(store).write_result(result, list(history))


def every(paper, user=FEW):
    return paper.all_trials(user)[0].values()


def test_a_number_of_the_config_is_where_a_column_stands(tmp_path):
    paper = load_paper("bae2021_figure4")
    for trial in every(paper):
        accuracy = 0.6 - 5 * trial.dataset.noise_gap + 0.01 * trial.seed
        write(tmp_path, trial, {"test": {"0.9": {"risk": 1.0, "accuracy": accuracy}}})
    found, svg = drawn(paper, tmp_path)
    irmv1 = found["IRMv1"]
    assert list(irmv1.measured) == ["0", "0.01", "0.02", "0.03", "0.04", "0.05"]
    assert irmv1.measured["0.03"].mean == pytest.approx(46)
    assert irmv1.measured["0.03"].sd == pytest.approx(1)
    assert irmv1.published == {"0": Summary(66.9, 2.5, 10)}
    for words in ("gap of label noise", "n = 3 seeds", "published", "test accuracy at"):
        assert words in svg


def test_history_is_mean_and_sd_at_each_step(tmp_path):
    paper = load_paper("bae2021_figure6")
    for trial in every(paper):
        n = trial.dataset.n_train or 25_000
        rows = [{"step": s, "penalty": (1 + trial.seed) * n / (1 + s), "risks": [0.1, 0.3]} for s in (0, 10, 20)]
        write(tmp_path, trial, {}, [*rows, {"step": 20, "scores": {}}, {"step": 30, "penalty": None}])
    found, svg = drawn(paper, tmp_path)
    half = found["IRMv1 (12,500)"].measured
    assert list(half) == ["0", "10", "20"]
    assert half["10"].mean == pytest.approx(2 * 12_500 / 11)
    assert half["10"].sd == pytest.approx(12_500 / 11)
    assert "step" in svg
    assert "penalty: squared gradient norm" in svg
    risks = paper.figure.model_copy(update={"quantity": "risks"})
    found = curves_of(Builder(paper, [tmp_path], None, FEW), risks)
    assert found[0].measured["0"].mean == pytest.approx(0.2), "the mean of several environments"
    other = curves_of(Builder(paper, [tmp_path], None, FEW), paper.figure.model_copy(update={"quantity": "loss"}))
    assert not other[0].measured
    assert "has no loss in its history (has penalty, risks)" in other[0].remarks[0]


def test_bars_stand_in_the_groups_of_the_columns(tmp_path):
    paper = load_paper("bae2021_figure9")
    for trial in every(paper):
        own = {"layer1": 0.9, "layer2": 0.8, "classifier": 0.3 + trial.lam}
        write(tmp_path, trial, {"inner_step": {name: {"pwcca": value} for name, value in own.items()}})
    found, svg = drawn(paper, tmp_path)
    assert {label: curve.measured["classifier"].mean for label, curve in found.items()} == pytest.approx(
        {"meta-IRM (w/o std. loss)": 0.3, "meta-IRM": 1.0}
    )
    for words in ("layer 1", "layer 2", "classifier", "PWCCA similarity"):
        assert words in svg


def test_environments_of_another_split_and_measure(tmp_path):
    paper = load_paper("bae2021_figure10")
    for trial in every(paper):
        write(tmp_path, trial, {"representation": {e: {"pwcca": 1.1 - float(e)} for e in synthetic.ENVIRONMENTS}})
    found, svg = drawn(paper, tmp_path)
    assert list(found["IRMv1"].measured) == synthetic.ENVIRONMENTS
    assert found["meta-IRM"].measured["0.9"].mean == pytest.approx(0.2)
    assert "PWCCA similarity to" in svg


def test_panels_have_their_own_rows(tmp_path):
    paper = load_paper("bae2021_figure5")
    for trial in every(paper):
        write(tmp_path, trial, {})
    found, svg = drawn(paper, tmp_path)
    assert {curve.panel for curve in found.values()} == {"IRMv1", "V-REx", "meta-IRM"}
    assert svg.count("p_e") >= 3 or svg.count("of the test environment") == 3
    assert svg.count("test accuracy (%)") == 1, "panels share the vertical axis"


def test_a_panel_of_trials_without_a_value_says_so_and_has_no_numbers():
    curves = [Curve("a", {"100": Summary(80, 1, 3), "200": Summary(70, 1, 3)}, panel="lr=0.001")]
    curves += [Curve("a", panel="lr=1e+30"), Curve("b", panel="lr=1e+30")]
    layout = PaperFigure(label="", kind="history", quantity="accuracy")
    full, empty = figure_of(Picture(layout, curves, "accuracy", "accuracy (%)")).axes[:2]
    assert [text.get_text() for text in empty.texts] == ["nothing measured"]
    assert list(empty.get_xticks()) == []
    assert list(full.texts) == []
    assert len(full.get_xticks()) > 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": "dataset.gap"}, "figure.x=dataset.gap of bae2021_figure4: the trials of IRMv1 have no such key"),
        ({"x": "seed"}, "column gap 0 has the values 0, 1, 2: it needs one number"),
        ({"x": "dataset.patch"}, "column gap 0 has the values none: it needs one number"),
    ],
)
def test_a_place_must_be_one_number(tmp_path, change, words):
    paper = load_paper("bae2021_figure4")
    with pytest.raises(UserError, match=re.escape(words)):
        curves_of(Builder(paper, [tmp_path], None, FEW), paper.figure.model_copy(update=change))


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "conf" / "paper").glob("*.yaml")])
def test_every_figure_of_the_paper_files_is_drawn(name, tmp_path):
    """From made-up results of one seed, whatever the kind; a new file is drawn here without being named."""
    paper = load_paper(name)
    if paper.figure is None:
        pytest.skip("no figure")
    for trial in every(paper, ["seed=0"]):
        splits: dict[str, dict[str, dict[str, float]]] = {}
        made_up = 0.5 + int(trial.id, 16) % 1000 / 4000
        for column in paper.columns:
            split, environment, measure = parts(column.metric)
            splits.setdefault(split, {}).setdefault(environment, {})[measure] = made_up
        write(tmp_path, trial, splits, [{"step": s, str(paper.figure.quantity): 0.5 - s / 100} for s in (0, 10)])
    found, svg = drawn(paper, tmp_path, ["seed=0"])
    for curve in found.values():
        assert curve.reference or curve.measured, curve
        assert not any("history" in remark for remark in curve.remarks)
    assert "n = 1 seed" in svg
    assert_drawn_as_it_is(paper_picture(Builder(paper, [tmp_path], None, ["seed=0"])))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--paper", "bae2021", "--figure", "7"], "--paper bae2021 --figure 7: no conf/paper/bae2021_figure7.yaml"),
        (["--paper", "bae2021", "--figure", "7"], "--paper bae2021 --figure 8"),
        (["--paper", "bae2021", "--figure", "3", "--table", "1"], "--table 1 --figure 3: give one of them"),
        (["--paper", "bae2021"], "--paper bae2021 is several tables and figures: --paper bae2021 --table 1, "),
    ],
)
def test_which_figure_is_said(in_folder, capsys, argv, words):
    with pytest.raises(SystemExit):
        figure_command.main(argv)
    assert words in capsys.readouterr().err


def test_an_axis_of_environments_is_called_what_its_numbers_are(tmp_path):
    demo = load_paper("demo")
    assert paper_picture(Builder(demo, [tmp_path], None, [])).figure.x_label == "$p_e$ of the test environment"
    rows = {name: row.model_copy(update={"sweep": ("method=erm",)}) for name, row in demo.rows.items()}
    other = demo.model_copy(update={"sweep": ("dataset=linear_unit_tests",), "rows": rows})
    assert paper_picture(Builder(other, [tmp_path], None, [])).figure.x_label is None


def test_lines_stand_at_their_numbers_and_error_bars_beside_each_other():
    """A line that moved with its error bars would be read at the wrong number: where it falls steeply, points off."""
    measured = {"0.1": Summary(80, 1, 3), "0.9": Summary(20, 1, 3)}
    curves = [Curve(label, measured, {"0.9": Summary(25, 2, 10)}) for label in ("a", "b", "c")]
    axes = figure_of(Picture(PaperFigure(label=""), curves, "accuracy", "accuracy (%)")).axes[0]
    drawn = [line for line in axes.lines if line.get_marker() in plots.MARKERS]
    assert sorted(tuple(line.get_xydata()[-1]) for line in drawn) == [*[(0.9, 20)] * 3, *[(0.9, 25)] * 3]
    at = [bars.get_segments() for bars in axes.collections if isinstance(bars, LineCollection)]
    assert [segments[0][0][0] - 0.1 for segments in at[::2]] == pytest.approx([-0.0048, 0, 0.0048])
    assert len({float(segments[-1][0][0]) for segments in at}) == 6, "measured and published, side by side"


@pytest.mark.parametrize("kind", ["environments", "bars"])
def test_one_seed_has_no_spread(kind):
    """A bar of length 0 would say that the seeds agree."""
    curve = Curve("a", {"1": Summary(50, None, 1), "2": Summary(50, 2, 3)})
    (axes,) = figure_of(Picture(PaperFigure(label="", kind=kind), [curve], "accuracy", "accuracy (%)")).axes
    (spreads,) = [bars.get_segments() for bars in axes.collections if isinstance(bars, LineCollection)]
    lengths = [abs(ends[1][1] - ends[0][1]) for ends in spreads if len(ends)]
    assert [length for length in lengths if length == length] == [4]


def test_a_bar_group_has_no_empty_slot_and_the_caption_says_who_is_missing(tmp_path):
    paper = load_paper("bae2021_figure9")
    for trial in every(paper):
        own = {"layer1": 0.9, "layer2": 0.8, "classifier": 0.4}
        result = synthetic.completed(trial, lambda t, e: 0.5)
        result["metrics"]["last"]["scores"]["inner_step"] = {name: {"pwcca": value} for name, value in own.items()}
        if trial.lam == 0:
            result["metrics"]["stop"] = result["metrics"]["last"]
        synthetic.write(tmp_path, result)
    picture = paper_picture(Builder(paper, [tmp_path], None, FEW))
    (axes,) = figure_of(picture).axes
    (bars,) = [c for c in axes.containers if hasattr(c, "patches")]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([0, 1, 2])
    assert "Left out: meta-IRM (layer 1, layer 2, classifier): 3 of 3 trials run, but rule stop chose no step." in (
        figure_of(picture)._supxlabel.get_text().replace("\n", " ")
    )


def test_spreads_are_cut_at_what_can_be_and_a_logarithmic_axis_says_what_it_lacks():
    curve = Curve("a", {"1": Summary(98, 5, 3), "2": Summary(2, 5, 3)})
    assert Range(0, 100).lengths([98, 2], [5, 5]) == [[5, 2], [2, 5]]
    figure = PaperFigure(label="", kind="history", quantity="accuracy")
    drawn = figure_of(Picture(figure, [curve], "accuracy", "accuracy (%)"))
    assert "Spreads are cut at 0 and 100" in drawn._supxlabel.get_text()
    steps = {"0": Summary(1, 2, 3), "10": Summary(0.5, 0.1, 3), "20": Summary(0, 0, 3)}
    logged = PaperFigure(label="", kind="history", quantity="penalty", log_y=True)
    drawn = figure_of(Picture(logged, [Curve("a", steps)], "accuracy", "accuracy (%)"))
    (axes,) = drawn.axes
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].min() == pytest.approx(0.4), "no floor where mean - sd is negative"
    said = drawn._supxlabel.get_text().replace("\n", " ")
    assert "not shown are a at 1 of 3 points" in said
    assert "the spread is drawn above the mean only" in said
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_a_seed_that_explodes_leaves_the_others_readable():
    mean = {str(step): Summary(1 - step / 100, 0.1, 3) for step in (0, 10, 20)}
    curve = Curve("a", mean, strands=[Strand({"0": 1.0, "10": 4e9}, "diverged")])
    figure = PaperFigure(label="", kind="history", quantity="risks")
    drawn = figure_of(Picture(figure, [curve], "accuracy", "accuracy (%)"))
    assert drawn.axes[0].get_ylim()[1] < 2
    assert "Single seeds leave the picture: they go from 1 to 4e+09." in drawn._supxlabel.get_text()


def assert_drawn_as_it_is(picture):
    """Every line has its points where its curve's means are, every bar its height, every hollow mark its cell."""
    figure = figure_of(picture)
    curves = [curve for curve in picture.curves if not curve.reference]
    panels = list(dict.fromkeys(curve.panel for curve in curves if curve.panel)) or [None]
    names = list(dict.fromkeys(name for c in curves for name in (*c.measured, *c.published)))
    is_number = picture.figure.kind != "bars"
    for axes, panel in zip(figure.axes, panels, strict=True):
        lines = [[tuple(point) for point in line.get_xydata()] for line in axes.lines]
        heights = [[bar.get_height() for bar in bars] for bars in axes.containers if hasattr(bars, "patches")]
        for curve in (curve for curve in curves if curve.panel in (None, panel)):
            for summaries in (curve.measured, curve.published):
                at = {float(name) if is_number else names.index(name): s.mean for name, s in summaries.items()}
                if picture.figure.kind == "bars":
                    assert not at or [mean for _, mean in sorted(at.items())] in heights
                else:
                    assert not at or sorted(at.items()) in lines, curve.label
