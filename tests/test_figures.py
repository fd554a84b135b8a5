"""The figures: what is drawn, where it is saved, and what is said when there is nothing to draw."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))

import figures
import synthetic_store as synthetic
from curves import curves
from drawing import draw
from irm_sweeps.sweep.paper import load_paper
from layout import Builder
from verdict import Summary


@pytest.fixture(autouse=True, scope="module")
def composed_once():
    with synthetic.composed_once():
        yield


@pytest.fixture(scope="module")
def bae():
    return load_paper("bae2021_table1")


def falling(trial, environment):
    return 1 - float(environment) + 0.01 * trial.seed


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_curve_is_mean_and_sd_over_all_test_environments(bae, tmp_path):
    synthetic.fill(tmp_path, bae, "erm", falling, ["seed=range(0,3)"])
    found = {c.label: c for c in curves(Builder(bae, [tmp_path], "last", ["seed=range(0,3)"]), bae.figure)}
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
    found = {c.label: c for c in curves(Builder(bae, [tmp_path], "last", user), bae.figure)}["V-REx"]
    assert found.measured["0.5"].mean == pytest.approx(60)
    assert "setting: lam=10 of 1, 10" in found.remarks[0]


@pytest.mark.parametrize(("name", "start"), [("f.png", b"\x89PNG"), ("f.pdf", b"%PDF"), ("f.svg", b"<?xml")])
def test_picture_is_saved_and_its_path_printed(in_folder, capsys, bae, name, start):
    synthetic.fill(in_folder / "results", bae, "erm", falling, ["seed=0,1"])
    figures.main(["--paper", "bae2021", "--table", "1", "seed=0,1", "--output", f"deep/{name}"])
    assert capsys.readouterr().out == f"deep/{name}\n"
    assert (in_folder / "deep" / name).read_bytes().startswith(start)


def test_default_is_a_png_in_the_store(in_folder, capsys):
    demo = load_paper("demo")
    synthetic.fill(in_folder / "here", demo, "erm", falling)
    trials = synthetic.trials_of(demo, "vrex")
    synthetic.write(in_folder / "here", synthetic.diverged(trials[0], 7))
    figures.main(["--paper", "demo", "--results", "here"])
    said = capsys.readouterr()
    assert said.out == "here/demo.png\n"
    assert f"V-REx: diverged, left out: 1 of 3 trials: {trials[0].id}" in said.err


def test_svg_has_labels_units_and_open_markers_and_is_reproducible(bae, tmp_path):
    for row in ("erm", "irmv1"):
        synthetic.fill(tmp_path, bae, row, falling, ["seed=0,1"])
    found = curves(Builder(bae, [tmp_path], "last", ["seed=0,1"]), bae.figure)
    wanted = bae.figure.model_copy(update={"label": "A title"})
    picture = draw(found, wanted, "accuracy", "svg")
    text = picture.decode()
    axes = ["test accuracy (%)", "of the test environment"]
    for words in (*axes, "ERM", "IRMv1", "published", "Random", "Optimal"):
        assert words in text
    assert "n = 2 seeds" in text
    assert "A title" in text
    assert "#0072b2" in text
    assert "#d55e00" in text
    assert picture == draw(found, wanted, "accuracy", "svg")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--paper", "demo"], "nothing measured yet, so nothing to draw: run python launch.py -m paper=demo"),
        (
            ["--paper", "demo", "--output", "x.jpg"],
            "x.jpg: give a file that ends in .png, .pdf or .svg",
        ),
        (["--paper", "nobody"], "no conf/paper/nobody.yaml"),
    ],
)
def test_mistakes_are_one_line(in_folder, capsys, argv, words):
    with pytest.raises(SystemExit) as stop:
        figures.main(argv)
    error = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert words in error


def test_a_paper_without_figure_says_what_to_add(in_folder, capsys, monkeypatch, bae):
    monkeypatch.setattr(figures, "find_paper", lambda *asked: bae.model_copy(update={"figure": None}))
    with pytest.raises(SystemExit):
        figures.main(["--paper", "bae2021", "--table", "1"])
    assert "conf/paper/bae2021_table1.yaml has no section `figure`" in capsys.readouterr().err
