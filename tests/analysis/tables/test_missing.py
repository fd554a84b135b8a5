"""Cells that lack trials: their notes in the table, and the commands that fill them."""

from __future__ import annotations

import json
import re
import shlex

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis import table_command
from irm_sweeps.analysis.figures.drawing import figure_of
from irm_sweeps.analysis.figures.paper_figure import paper_picture
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.sweep.paper import load_paper
from table_words import BAE, FEW, by_seed, records


def test_every_missing_cell_has_the_command_that_fills_it(show, bae):
    text = show(*BAE)
    body, _, notes = text.partition("- [1]")
    numbered = dict(re.findall(r"- \[(\d+)\] .*?`(.*)`", "- [1]" + notes))
    for name, row in bae.rows.items():
        line = next(line for line in body.splitlines() if line.startswith(f"| {row.label} "))
        cells = [found.split(",") for found in re.findall(r"(?:missing|not available) \[([\d,]+)\]", line)]
        if row.sweep is None:
            assert cells == []
        else:
            assert len(cells) == 3
            commands = [[numbered[n] for n in numbers if n in numbered] for numbers in cells]
            assert commands == [[bae.command(name)]] * 3


def test_commands_keep_the_overrides_and_the_store(show, tmp_path):
    (tmp_path / "my results").mkdir()
    text = show("--paper", "demo", "--results", "my results", FEW, "dataset.n_val=100")
    assert f"'paper.only=[erm]' '{FEW}' dataset.n_val=100 'results=my results'`" in text


def test_a_partly_measured_cell_says_what_it_lacks(show, demo, tmp_path):
    trials = synthetic.trials_of(demo, "erm")
    synthetic.write(tmp_path / "results", synthetic.completed(trials[1], by_seed))
    cell = records(show("--paper", "demo", "--format", "csv"))["erm", "p_e = 0.1"]
    assert (cell["n"], cell["sd"]) == ("1", "")
    assert cell["note"] == "no result yet: 2 of 3 trials"
    assert cell["command"] == demo.command("erm")


def test_an_unknown_method_leaves_the_other_rows_alone(show, demo, tmp_path, monkeypatch):
    broken = demo.rows["irmv1"].model_copy(update={"sweep": ["method=not_yet"]})
    paper = demo.model_copy(update={"rows": {**demo.rows, "irmv1": broken}})
    monkeypatch.setattr(table_command, "find_paper", lambda *asked: paper)
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    text = show("--paper", "demo")
    assert "not available [1]" in text
    assert f"this version has no method=not_yet; once it has: `{demo.command('irmv1')}`" in text
    assert "(n=3)" in text


def test_diverged_and_failed_trials_are_counted_and_named(show, demo, tmp_path):
    a, b, c = synthetic.trials_of(demo, "vrex")
    synthetic.write(
        tmp_path / "results",
        synthetic.diverged(a, 120),
        synthetic.failed(b, "RuntimeError: no\nluck"),
        synthetic.completed(c, by_seed),
    )
    cell = records(show("--paper", "demo", "--format", "csv"))["vrex", "p_e = 0.9"]
    assert cell["n"] == "1"
    assert f"diverged, left out: 1 of 3 trials: {a.id} (seed=0) at step 120" in cell["note"]
    assert f"failed, left out: 1 of 3 trials: {b.id} (seed=1) RuntimeError: no luck" in cell["note"]
    assert cell["command"] == demo.command("vrex", ["rerun=failed"])


def test_a_cell_of_which_everything_diverged(show, demo, tmp_path):
    trials = synthetic.trials_of(demo, "vrex", ["seed=range(0,9)"])
    synthetic.write(tmp_path / "results", *(synthetic.diverged(trial, 5) for trial in trials))
    text = show("--paper", "demo", "seed=range(0,9)")
    assert re.search(r"V-REx +\| diverged \[", text)
    assert "9 of 9 trials" in text
    assert "; 4 more" in text


def test_a_value_that_is_not_finite_is_left_out_and_named(show, demo, tmp_path):
    a, b, c = synthetic.trials_of(demo, "erm")
    nothing = synthetic.completed(a, lambda trial, e: None if e == "0.9" else 0.5)
    synthetic.write(tmp_path / "results", nothing, *(synthetic.completed(t, by_seed) for t in (b, c)))
    cells = records(show("--paper", "demo", "--format", "csv"))
    assert cells["erm", "p_e = 0.1"]["n"] == "3"
    assert cells["erm", "p_e = 0.9"]["n"] == "2"
    assert f"not finite, left out: 1 of 3 trials: {a.id}" in cells["erm", "p_e = 0.9"]["note"]


def test_damaged_results_are_named_and_skipped(show, demo, tmp_path):
    *trials, whole = synthetic.fill(tmp_path / "results", demo, "erm", by_seed, ["seed=range(0,11)"])
    good = synthetic.completed(trials[0], by_seed)
    wrong_text = {"last": {"scores": {"test": {"0.1": {"accuracy": "high"}}}}}
    damages = [
        b"",
        b'{"schema": 1, "trial_id"',
        b"[]",
        b"\xff\xfe",
        b'{"a": NaN}',
        {**good, "metrics": [1, 2]},
        {**good, "metrics": {"last": {"scores": None}}},
        {**good, "metrics": wrong_text},
        {**good, "schema": 99},
        {**good, "trial_id": whole.id},
    ]
    for trial, damage in zip(trials, damages, strict=True):
        if isinstance(damage, dict) and damage["trial_id"] != whole.id:
            damage = {**damage, "trial_id": trial.id}
        path = tmp_path / "results" / trial.id / "result.json"
        path.write_bytes(damage if isinstance(damage, bytes) else json.dumps(damage).encode())
    cell = records(show("--paper", "demo", "--format", "csv", "seed=range(0,11)"))["erm", "p_e = 0.1"]
    assert cell["n"] == "1"
    assert "no result yet: 10 of 11 trials" in cell["note"]
    for trial in trials:
        assert len(re.findall(f"skipped .*{trial.id}/result.json", show.stderr)) == 1


def test_an_environment_that_was_not_measured(show, demo, tmp_path):
    trials = synthetic.trials_of(demo, "erm")
    for trial in trials:
        result = synthetic.completed(trial, by_seed)
        del result["metrics"]["last"]["scores"]["test"]["0.9"]
        synthetic.write(tmp_path / "results", result)
    cell = records(show("--paper", "demo", "--format", "csv"))["erm", "p_e = 0.9"]
    assert cell["mean"] == ""
    assert "test/0.9/accuracy not measured" in cell["note"]
    assert "test/0.8/accuracy" in cell["note"]


@pytest.mark.parametrize(("rows", "told"), [("random", False), ("random,optimal", False), ("random,erm", True)])
def test_a_launch_is_advised_only_where_it_has_something_to_run(show, rows, told):
    show(*BAE, f"paper.only=[{rows}]")
    assert ("runs all of it" in show.stderr) == told


def test_missing_prints_commands_and_nothing_else(show, demo, tmp_path):
    store = tmp_path / "results"
    synthetic.fill(store, demo, "erm", by_seed)
    a, *_ = synthetic.trials_of(demo, "vrex")
    synthetic.write(store, synthetic.failed(a, "no"))
    rows = [row for row in demo.rows if demo.rows[row].sweep is not None]
    assert show("--paper", "demo", "--missing").splitlines() == [
        demo.command(row, ["rerun=failed"] if row == "vrex" else []) for row in rows if row != "erm"
    ]
    assert show.stderr == ""


def test_missing_prints_nothing_where_nothing_is_missing(show, demo, tmp_path):
    for row in demo.rows:
        synthetic.fill(tmp_path / "results", demo, row, by_seed)
    assert show("--paper", "demo", "--missing") == ""


def test_a_row_that_no_command_can_fill_is_no_command(show, demo, monkeypatch):
    broken = demo.rows["irmv1"].model_copy(update={"sweep": ["method=not_yet"]})
    paper = demo.model_copy(update={"rows": {"irmv1": broken}})
    monkeypatch.setattr(table_command, "find_paper", lambda *asked: paper)
    assert show("--paper", "demo", "--missing") == ""
    assert "skipped IRMv1: this version has no method=not_yet" in show.stderr


def test_the_shell_reads_a_missing_command_as_it_is_meant(show, tmp_path):
    (tmp_path / "my results").mkdir()
    lines = show("--paper", "demo", "--missing", "--results", "my results", FEW).splitlines()
    for line, row in zip(lines, load_paper("demo").rows, strict=True):
        words = shlex.split(line)
        assert words[:4] == ["irm-sweeps", "launch", "-m", "paper=demo"]
        assert words[4:] == [f"paper.only=[{row}]", FEW, "results=my results"]


def test_a_mean_over_several_versions_of_the_package_or_data_says_so(show, demo, tmp_path):
    made = [
        ({"package_sha256": "a" * 64, "data_sha256": {"mnist": "c" * 64}}, "irmv1"),
        ({"package_sha256": "a" * 64, "data_sha256": {"mnist": "d" * 64}}, "irmv1"),
        ({"package_sha256": "b" * 64, "data_sha256": {"mnist": "d" * 64}}, "irmv1"),
        *[({"package_sha256": "a" * 64}, "vrex")] * 2,
        ({}, "vrex"),
    ]
    trials = [*synthetic.trials_of(demo, "irmv1"), *synthetic.trials_of(demo, "vrex")]
    for trial, (provenance, _) in zip(trials, made, strict=True):
        synthetic.write(tmp_path / "results", {**synthetic.completed(trial, by_seed), "provenance": provenance})
    text = show("--paper", "demo")
    code = "mixed: 2 versions of irm_sweeps (sha256 aaaaaaaa: 2 trials, sha256 bbbbbbbb: 1 trial)"
    assert f"{code}: `{demo.command('irmv1', ['rerun=changed'])}`" in text
    data = "mixed: 2 versions of the data mnist (sha256 dddddddd: 2 trials, cccccccc: 1 trial)"
    assert f"{data}: `{demo.command('irmv1', ['rerun=all'])}`" in text
    assert text.count("mixed:") == 2, "vrex's are of one version, as far as is known"
    whole = "Trials of 2 versions of irm_sweeps (sha256 aaaaaaaa: 4 trials, sha256 bbbbbbbb: 1 trial)"
    assert f"- {whole}: rerun=changed runs those again that this one has not made." in text
    drawn = figure_of(paper_picture(Builder(demo, [tmp_path / "results"], None, [])))
    caption = drawn._supxlabel.get_text().replace("\n", " ")
    mixed = "Means over 2 versions of irm_sweeps: IRMv1. Means over 2 versions of the data mnist: IRMv1."
    assert caption.startswith(f"{whole}. {mixed} "), "as the table, in words"


def test_a_table_over_several_released_versions_says_so(show, demo, tmp_path):
    trials = {row: synthetic.trials_of(demo, row) for row in ("irmv1", "vrex")}
    for row, version in (("irmv1", "0.1.0"), ("vrex", "0.2.0")):
        for trial in trials[row]:
            provenance = {"software": {"irm-sweeps": version}}
            synthetic.write(tmp_path / "results", {**synthetic.completed(trial, by_seed), "provenance": provenance})
    text = show("--paper", "demo")
    assert "Trials of 2 versions of irm_sweeps (0.1.0: 3 trials, 0.2.0: 3 trials)" in text
    assert "mixed:" not in text, "each mean is over trials of one"


def test_some_rows_with_what_only_they_have(show, demo, tmp_path):
    """What `launch.py -m` takes is tabulated in the same words."""
    own = ["paper.only=[irmv1]", "method.dummy=vector"]
    assert "dummy" not in str(demo.rows["irmv1"].sweep)
    synthetic.fill(tmp_path / "results", demo, "irmv1", by_seed, own[1:])
    cells = records(show("--paper", "demo", *own, "--format", "csv"))
    assert {row for row, _ in cells} == {"irmv1"}
    assert {cell["n"] for cell in cells.values()} == {"3"}
    assert "- Rows shown: irmv1." in show("--paper", "demo", *own).splitlines()
    other = ["paper.only=[vrex,irmv1]", "method.rescale=none"]
    fill = [demo.command(row, other[1:]) for row in ("irmv1", "vrex")]
    assert show("--paper", "demo", *other, "--missing").splitlines() == fill
    show("--paper", "demo", *other, "--results", "none")
    assert "'paper.only=[vrex,irmv1]' method.rescale=none results=none runs all of it" in show.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["method.anneal=3"], "demo, row erm: unknown key `method.anneal`"),
        (["method.anneal=3"], "; paper.only=[ROW,...] chooses the rows that have it"),
        (["paper.only=[ermm]"], "no row 'ermm' (did you mean `erm`?); rows: erm, irmv1"),
        (["paper.only=erm"], "paper.only=erm: of a paper's keys only paper.only=[ROW,...], a list, can be given"),
        (["paper.select=val"], "paper.select=val: of a paper's keys only paper.only=[ROW,...]"),
        (
            ["--output", "t.xlsx"],
            "--output t.xlsx: give a file that ends in .txt, .md, .tex, .csv, .html, .htm, or --format",
        ),
        (["--output", "t"], "--output t: give a file that ends in .txt, .md"),
        (["--paper", "c/paper/x.yaml"], "--paper c/paper/x.yaml: a paper file is chosen by its name, x, and found as"),
        (["paper=demo"], "paper=demo: say --paper demo"),
    ],
)
def test_rows_and_keys_that_are_not_there(refused, given, words):
    assert words in refused("--paper", "demo", *given)
