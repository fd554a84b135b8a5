"""Sweeps with made-up results, and the figures of them as values or as files."""

from __future__ import annotations

from pathlib import Path

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis import figure_command
from irm_sweeps.analysis.figures import metrics, series
from irm_sweeps.analysis.figures.drawing import figure_of
from irm_sweeps.analysis.figures.general import lam_picture, training_picture
from irm_sweeps.analysis.figures.measuring import Measuring
from irm_sweeps.analysis.readings import Results
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import trials

SWEEP = ["method=erm,irmv1,vrex", "lam=0,10,1000", "seed=0,1", "dataset.source=embedded"]


TASKS = [*SWEEP, "backbone.width=64,128", "dataset.noise_gap=0,0.05"]


ONE = ["method=irmv1", "lam=1", "seed=0,1,2,3", "dataset.source=embedded"]


IN, SHIFTED = "in distribution: test environments 0.1, 0.2", "shifted: test environment 0.9"


def accuracy(trial, environment):
    """At 0.9: 0.2 without lam, else 0.3 + lam / 10,000; two points more with seed 1."""
    shifted = 0.2 if trial.lam is None else 0.3 + trial.lam / 10_000
    return {"0.1": 0.9, "0.2": 0.8}.get(environment, shifted) + 0.02 * trial.seed


def fill(store, user, skip=lambda trial: False):
    found = [trial for trial in trials(user).values() if not skip(trial)]
    synthetic.write(store, *(synthetic.completed(trial, accuracy) for trial in found))
    return found


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


def svg(capsys, *argv):
    figure_command.main([*argv, "--output", "picture.svg"])
    assert capsys.readouterr().out == "picture.svg\n"
    return Path("picture.svg").read_text()
