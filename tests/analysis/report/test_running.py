"""The report of a store in which trials are being trained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import synthetic_store as synthetic
from browser import CHROMIUM, chromium
from irm_sweeps.analysis.report import curve_svg
from irm_sweeps.analysis.running import running_trials
from irm_sweeps.analysis.tables import formats
from irm_sweeps.analysis.tables.formats import source
from irm_sweeps.errors import StoreError
from irm_sweeps.store import claims
from irm_sweeps.store.history import HistoryRow
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.paper import load_paper
from report_page import HOSTILE, by_seed, reported, words


def test_the_latest_sweep_is_the_answer_and_running_trials_are_shown(tmp_path: Path) -> None:
    root = tmp_path / "results"
    store = Store(root)
    synthetic.fill(root, load_paper("demo"), "erm", by_seed)
    trials, _, _ = collect([f"results={root}", "dataset.source=embedded", "training.steps=20", "seed=0,1"])
    done, running = trials.values()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    labels = {running.id: f"mine {HOSTILE}"}
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    manifest = write_manifest(store, "sweep", configs, [[trial_id] for trial_id in trials], run, labels)
    synthetic.write(root, synthetic.completed(done, by_seed))
    assert claims.acquire(store, running.id, manifest.launch, 20, 1)
    rows = [{"step": step, "risks": [0.7, 0.5 - step / 100]} for step in (0, 10)]
    (root / running.id / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for argv in ([], ["--sweep", manifest.name]):
        page = reported(root, tmp_path, *argv)
        said = words(page)
        assert page.text.partition("<h1>")[2].startswith(f"{manifest.name}</h1>")
        assert said.index("1 trial is running.") < said.index("Provenance")
        assert f"mine {' '.join(HOSTILE.split())}" in said
        assert "step 10 of 20" in said, "that of the last row, which is later than the heartbeat"
        assert re.search(r"Launched \d{4}-\d\d-\d\d \d\d:\d\d UTC: ", said)
        assert f"irm-sweeps watch --sweep {manifest.name} --results {root}" in said
        assert page.tags.count("polyline") == 2
        assert page.open == []


def test_running_trials_stand_in_the_order_of_their_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trials, _, _ = collect([f"results={tmp_path}", "dataset.source=embedded", "seed=range(0,6)"])
    assert list(trials) != sorted(trials)
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    manifest = write_manifest(store, "sweep", configs, [list(trials)], run)
    for trial_id in reversed(trials):
        assert claims.acquire(store, trial_id, manifest.launch, 20, 1)
    assert [one.trial_id for one in running_trials([store])] == list(trials)


def test_running_trials_are_looked_at_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that cannot be read ends no report; the heartbeat of a worker elsewhere is judged without a new file."""
    root = tmp_path / "results"
    store = Store(root)
    store.prepare()
    trials, _, _ = collect([f"results={root}", "dataset.source=embedded", "training.steps=20", "seed=0,1,2"])
    first, second, unknown = trials.values()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    names = []
    for name, members in (("one", [first]), ("two", [second, unknown])):
        configs = {trial.id: trial.canonical for trial in members}
        names.append(write_manifest(store, name, configs, [list(configs)], run).name)
    for trial in trials.values():
        claim = claims.acquire(store, trial.id, "launch", 20, 1)
        assert claim
        far = replace(claim, holder=replace(claim.holder, host="far", machine="far"), seconds_since_step=1.0)
        far.path.write_bytes(far.content())
    read = claims.current

    def refusing(store: Store, trial_id: str) -> claims.Claim | None:
        if trial_id == unknown.id:
            raise StoreError("another user's claim")
        return read(store, trial_id)

    monkeypatch.setattr(claims, "current", refusing)
    before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
    page = reported(root, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))} == before
    assert "2 trials are running." in words(page)
    for name in names:
        assert words(page).count(f"irm-sweeps watch --sweep {name} --results {root}") == 1
    assert f"watch --sweep {names[0]}" not in words(reported(root, tmp_path, "--sweep", names[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_no_number_beside_a_curve_is_cut(tmp_path: Path) -> None:
    rows = [HistoryRow.from_values({"step": step, "objective": -1.23e-05 * (2 - step)}) for step in (0, 1)]
    store, target = tmp_path / "store", tmp_path / "page.html"
    drawn = curve_svg.charts(rows)
    assert (drawn[0].low, drawn[0].high) == ("-2.46e-05", "-1.23e-05")
    style = f"<style>{source('style.css')}{source('charts.css')}</style>"
    template = '{% from "charts.html" import charts_of %}{{ charts_of(charts, width, height) }}'
    html = (
        formats._environment()
        .from_string(template)
        .render(charts=drawn, width=curve_svg.WIDTH, height=curve_svg.HEIGHT)
    )
    target.write_text(f"<!DOCTYPE html>{style}{html}")
    with chromium(store) as page:
        page.open(target, 390)
        outside = "Array.from(document.querySelectorAll('.chart text')).filter(text => "
        outside += "text.getBoundingClientRect().left < text.closest('svg').getBoundingClientRect().left).length"
        assert page.run("document.querySelectorAll('.chart text').length") == 4
        assert page.run(outside) == 0
