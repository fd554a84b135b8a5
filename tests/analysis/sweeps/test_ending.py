"""What real commands print at the end of a sweep, and which trials tables, figures and the report find by default."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from commands import ROGUE, SMALL, irm_sweeps, launch


@pytest.fixture(autouse=True)
def _here(composed_once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


SWEEP = ["-m", "method=irmv1,vrex", "lam=1,100", "seed=0,1", *SMALL, "backbone.width=4"]
QUICK = [word for word in SMALL if "test_p_e" not in word and "steps" not in word]
"""Overrides that fit a paper's rows."""


def test_a_sweep_ends_with_its_table_whenever_it_is_issued():
    first = launch(*SWEEP)
    assert first.code == 0, first
    table = first.out[first.out.index("\n\n") :]
    assert len(re.findall(r"^(?:irmv1|vrex) lam=\d+  +\d+\.\d ± .* 2$", table, re.M)) == 4, first.out
    assert "\nBest by accuracy on the training images" in table
    assert table.rstrip().endswith(".")
    again = launch(*SWEEP)
    assert again.out.startswith("8 done, 0 to run\n")
    assert again.out.endswith(table)
    assert irm_sweeps("table").out.strip() == table.strip()
    curve = re.search(r"curve over lam: irm-sweeps (figure .*)", first.out)
    assert curve
    assert irm_sweeps(*curve[1].split()).code == 0
    part = launch(*(word.replace("method=irmv1,vrex", "method=vrex") for word in SWEEP))
    again_by_overrides = re.search(r"csv or html: irm-sweeps (table method=vrex .*)", part.out)
    assert again_by_overrides, part.out
    assert part.out.endswith(irm_sweeps(*again_by_overrides[1].split()).out)


def test_the_curve_of_a_method_of_ones_own_asks_for_trust(tmp_path, monkeypatch):
    """A process that reads the sweep later has not imported the class."""
    (tmp_path / "own_vrex.py").write_text("from irm_sweeps.methods.rex import VREx\n\n\nclass Own(VREx):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = [*SMALL, "method=vrex", "method._target_=own_vrex.Own", "method.anneal=5", "lam=1,10", "seed=0"]
    answer = launch("-m", *words)
    assert answer.code == 0, answer
    curve = re.search(r"curve over lam: irm-sweeps (figure .* --trust)\n", answer.out)
    assert curve, answer.out
    monkeypatch.delitem(sys.modules, "own_vrex")
    assert irm_sweeps(*curve[1].split()).code == 0
    monkeypatch.delitem(sys.modules, "own_vrex")
    untrusted = irm_sweeps(*curve[1].removesuffix(" --trust").split())
    assert untrusted.code == 2
    assert "add --trust" in untrusted.err


def test_a_sweep_that_is_done_and_issued_again_is_the_latest():
    """As after an edit that was undone: the table without a selection is of the command that was typed last."""
    first, other = [*SWEEP[:1], "method=erm", "seed=0", *SMALL], [*SWEEP[:1], "method=rvp", "seed=0", *SMALL]
    launch(*first)
    launch(*other)
    assert "rvp" in irm_sweeps("table").out
    again = launch(*first)
    assert again.out.startswith("1 done, 0 to run")
    assert "rvp" not in irm_sweeps("table").out


def test_failed_and_diverged_trials_are_counted_in_their_rows(tmp_path):
    failing = launch("-m", *ROGUE[:-1], "+method.deed=raise,none", "seed=0,1")
    assert failing.code == 1, failing
    assert re.search(r"deed=none .* 2$", failing.out, re.M), failing.out
    assert re.search(r"deed=raise .* 0\n? +2 failed$", failing.out, re.M), failing.out
    assert "Not ranked, since seeds have no value: 1 setting" in failing.out
    (shown,) = re.findall(r"look at one with: irm-sweeps show (\w+)", failing.out)
    assert "completed" in irm_sweeps("show", shown).out
    again = launch("-m", *ROGUE[:-1], "+method.deed=raise,none", "seed=0,1")
    assert f"look at one with: irm-sweeps show {shown}" in again.out
    (why,) = re.findall(r"which failed or diverged: irm-sweeps (.*)", again.out)
    assert "this method has a mistake" in irm_sweeps(*why.split()).out
    none = launch("-m", *ROGUE[:-1], "+method.deed=raise", "seed=0,1").out
    assert "look at one with" not in none
    diverging = launch("-m", "optimizer=sgd", "optimizer.lr=0.001,1e19", "seed=0,1", *SMALL)
    assert re.search(r"lr=1e\+19 .* 0\n? +2 diverged$", diverging.out, re.M), diverging.out
    page = Path(irm_sweeps("report").out.split()[-1])
    assert "2 diverged" in page.read_text()


def test_many_settings_are_the_best_and_the_command_for_all():
    out = launch("-m", "method=vrex", "lam=range(1,42)", *SMALL).out
    assert len(re.findall(r"^vrex lam=", out, re.M)) == 20
    command = re.search(r"the best 20 of 41 settings are shown; all: irm-sweeps (.*)", out)
    assert command
    assert len(re.findall(r"^vrex lam=", irm_sweeps(*command[1].split()).out, re.M)) == 41


def test_a_shrunken_paper_is_found_by_its_latest_run(tmp_path):
    run = launch("-m", "paper=demo", "training.steps=2", "seed=0,1", "device=cpu")
    assert run.code == 0, run
    assert "Demo: test accuracy (%)" in run.out
    table = irm_sweeps("table", "--paper", "demo")
    assert "shown is its latest run, with training.steps=2 seed=0,1\n" in table.err
    assert table.out.count("(n=2)") == 12
    assert irm_sweeps("table", "--paper", "demo", "training.steps=2", "seed=0,1").out == table.out
    assert irm_sweeps("report").code == 0
    page = (tmp_path / "results" / "report.html").read_text()
    assert "shown is its latest run, with training.steps=2 seed=0,1." in page
    launch("-m", "paper=demo", "paper.only=[grayscale]", "training.steps=100", "seed=0", "device=cpu")
    whole = irm_sweeps("table", "--paper", "demo")
    assert whole.out.count("(n=1)") == 3, whole  # as filed: never together with the shrunken run
    assert "missing" in whole.out


def test_the_report_has_every_sweep(tmp_path):
    launch(*SWEEP)
    launch("-m", "seed=0,1", *SMALL)
    first, second = sorted(path.name for path in (tmp_path / "results" / "sweeps").iterdir())
    assert irm_sweeps("report").code == 0
    page = (tmp_path / "results" / "report.html").read_text()
    assert f'<h2 id="{first}">' in page
    assert f'<h2 id="{second}">' in page
    assert page.count(" over the penalty weight lam</figcaption>") == 1
    assert irm_sweeps("report", "--sweep", first).code == 0
    page = (tmp_path / "results" / "report.html").read_text()
    assert f'<h2 id="{first}">' in page
    assert second not in page


def test_the_plan_of_one_trial_has_its_id_and_its_price(tmp_path):
    plan = launch("method=erm", *SMALL, "plan=true")
    assert re.search(r"^  [0-9a-f]{16}  to run  erm seed=0$", plan.out, re.M), plan.out
    assert re.search(r"^1 trial on 1 worker: .* of wall time", plan.out, re.M), plan.out
    missing = launch("dataset=punctuated_sst2", "backbone=bag_of_words", f"data_dir={tmp_path}", "plan=true")
    assert missing.code == 1, missing
    assert "cannot run or be priced: " in missing.out
