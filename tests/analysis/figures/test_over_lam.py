"""Figures over the penalty weight, of overrides, stores and papers."""

from __future__ import annotations

import pytest

import synthetic_store as synthetic
from figure_cases import (
    IN,
    SHIFTED,
    SWEEP,
    accuracy,
    by_panel,
    drawn_text,
    fill,
    means,
    over_lam,
)
from irm_sweeps.analysis.figures import metrics, series
from irm_sweeps.analysis.figures.drawing import figure_of
from irm_sweeps.analysis.figures.general import lam_picture
from irm_sweeps.analysis.figures.measuring import Measuring
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.paper import load_paper


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


def test_lines_of_a_paper_are_its_rows(tmp_path):
    demo, user = load_paper("demo"), ["lam=1,100"]
    for row in demo.rows:
        synthetic.fill(tmp_path, demo, row, accuracy, user)
    builder = Builder(demo, [tmp_path], None, user)
    rows, _ = series.of_paper(builder)
    found = by_panel(lam_picture(Measuring(rows, builder.results, metrics.DEFAULT), ""))
    assert means(found["V-REx", SHIFTED]) == pytest.approx({"1": 32.01, "100": 33})
    assert {label for label, _ in found} == {"ERM (no lam)", "IRMv1", "V-REx", "ERM (grayscale) (no lam)"}


def test_zero_stands_apart_on_the_axis_of_lam(tmp_path):
    fill(tmp_path, SWEEP)
    picture = over_lam(tmp_path, SWEEP)
    axes = figure_of(picture).axes[1]
    parts = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "s"]
    assert parts == [[10, 1000], pytest.approx([min(axes.get_xticks())])]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "10", "1000"]
    assert 0 < min(axes.get_xticks()) < 10
    assert "0 stands left of the break: a logarithmic axis has none." in drawn_text(picture)
