"""The pictures of README and docs are what their scripts draw; data are compared, since pixels depend on fonts."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean

import data_strip
import figure3
import matplotlib as mpl
import numpy as np
import pytest
import side_picture
from PIL import Image

import small_sst2
from irm_sweeps.analysis.figures import plots
from irm_sweeps.store.archive import Archive
from pages import DOCS
from synthetic_store import composed_once


@pytest.fixture(scope="module")
def curves():
    with composed_once():
        return figure3.curves()


def test_figure_3_is_that_of_the_archive(curves) -> None:
    with Image.open(figure3.PNG) as picture:
        assert picture.info["Comment"] == figure3.data_of(curves), "type: make pictures"
        assert picture.width >= 1200, "sharp at 720 pixels on dense screens"
    assert figure3.PNG.stat().st_size < 250_000


def test_lines_of_figure_3_pass_through_the_stored_means(curves) -> None:
    """ERM's, which falls by 72 points, from the results themselves; each published mark at its cell of Table 1."""
    archive = Archive(figure3.ARCHIVE)
    results = [archive.result(trial_id) for trial_id in archive.trial_ids()]
    of_erm = [r for r in results if r and r.config["method"]["_target_"].endswith("ERM")]
    erm = [r for r in of_erm if not r.config["dataset"]["grayscale"]]
    with mpl.rc_context(figure3.STYLE):
        axes = figure3.figure_of(curves).axes[0]
    (line,) = [line for line in axes.lines if line.get_label() == "ERM"]
    for p_e, accuracy in line.get_xydata():
        stored = [r.scores("last")["test"][f"{p_e:g}"].measures["accuracy"] for r in erm]
        assert accuracy == pytest.approx(100 * fmean(stored))
    hollow = [
        line for line in axes.lines if line.get_marker() in plots.MARKERS and line.get_markerfacecolor() == "none"
    ]
    assert [tuple(point) for point in hollow[0].get_xydata()] == [(0.1, 88.6), (0.2, 79.7), (0.9, 16.4)]
    assert len({(line.get_marker(), line.get_color()) for line in hollow}) == len(hollow), "told apart by shape too"


def test_the_strip_of_data_sets_is_what_they_draw() -> None:
    with Image.open(data_strip.PNG) as picture:
        assert picture.info["Comment"] == data_strip.digest(), "type: make pictures DATA=FOLDER"
    assert data_strip.PNG.stat().st_size < 150_000
    assert data_strip.PNG.parent == DOCS


def test_the_picture_of_side_information_is_what_the_data_sets_give() -> None:
    with Image.open(side_picture.PNG) as picture:
        assert picture.info["Comment"] == side_picture.digest(), "type: make pictures DATA=FOLDER"
    assert side_picture.PNG.stat().st_size < 150_000
    z, tells, images = side_picture.colored_mnist("time")
    assert len(z) == len(tells) == len(images)
    assert [round(float(half.mean()), 1) for half in np.split(tells, 2)] == [0.8, 0.9]
    for counts, told in zip(side_picture.two_bits(), (0.75, 0.8, 0.1), strict=True):
        same = sum(counts[label, :, label].sum() for label in (0, 1)) / counts.sum()
        assert same == pytest.approx(told, abs=0.03)


def test_the_strip_is_drawn_without_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From small files in the published layouts."""
    pools = {"cifar10": ((32, 32, 3), [1, 2], (1200, 400)), "mnist": ((28, 28), [0, 1], (60_000, 10_000))}
    for name, (shape, classes, numbers) in pools.items():
        parts = {}
        for split, n in zip(("train", "test"), numbers, strict=True):
            parts[f"x_{split}"] = np.full((n, *shape), 100, dtype=np.uint8)
            parts[f"y_{split}"] = np.resize(classes, n)
        np.savez(tmp_path / f"{name}.npz", **parts)
    small_sst2.write(tmp_path)
    with composed_once():
        data_strip.main(["--data-dir", str(tmp_path), "--output", str(tmp_path / "strip.png")])
    assert capsys.readouterr().out == f"{tmp_path / 'strip.png'}\n"
    with Image.open(tmp_path / "strip.png") as picture:
        assert picture.size > (1000, 500)
        assert not math.isclose(np.asarray(picture.convert("L")).std(), 0)
