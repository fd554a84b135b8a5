"""Figures over training: evaluations, logged quantities, and seeds that did not end."""

from __future__ import annotations

import re

import pytest

import synthetic_store as synthetic
from figure_cases import (
    IN,
    ONE,
    SHIFTED,
    SWEEP,
    accuracy,
    by_panel,
    drawn_text,
    fill,
    means,
    over_training,
    trained,
)
from irm_sweeps.analysis import figure_command
from irm_sweeps.analysis.figures import series
from irm_sweeps.analysis.figures.drawing import figure_of
from irm_sweeps.analysis.readings import Results
from irm_sweeps.errors import UserError
from irm_sweeps.store import claims
from irm_sweeps.store.live_history import LiveHistory
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import trials


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


def test_a_quantity_has_a_file_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "results", SWEEP)
    for quantity in ("penalty", "risks"):
        figure_command.main(["--curves", "training", "--quantity", quantity, *SWEEP])
        assert capsys.readouterr().out == f"results/training_{quantity}.png\n"
