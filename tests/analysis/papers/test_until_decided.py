"""Seeds until decided: which trials a cell asks for, when it stops, and that its verdict counts the looks."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy
import pytest

import synthetic_store as synthetic
from commands import irm_sweeps, launch
from irm_sweeps.analysis.papers.until_decided import UntilDecided
from irm_sweeps.analysis.statistics.equivalence import planned_looks
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.paper import load_paper

MOST = 12


@pytest.fixture(scope="module")
def paper():
    with synthetic.composed_once():
        yield load_paper("bae2021_table1", only=["paper.only=[erm,mm_rex,random]"])


def _asked_for(until):
    """The trials that the cells need next."""
    return {i: trial for i, trial in until.at_their_looks().items() if until.results.of(i) is None}


def _train(paper, store, until, spread):
    """Write results of the trials that are asked for: the published mean of each environment, and a spread by row."""
    trials = _asked_for(until)
    for trial in trials.values():
        row = "mm_rex" if trial.lam is not None else "erm"
        noise = numpy.random.default_rng(trial.seed).normal(0, spread[row])
        cells = {c.metric.split("/")[1]: p[0] for c, p in zip(paper.columns, paper.rows[row].published, strict=True)}
        accuracy = {e: (mean + noise) / 100 for e, mean in cells.items()}
        synthetic.write(store, synthetic.completed(trial, lambda t, e, own=accuracy: own.get(e, 0.5)))
    return sorted({trial.seed for trial in trials.values()}), len(trials)


def test_seeds_are_added_where_a_verdict_is_open_until_the_last_look(paper, tmp_path):
    asked = []
    spread = {"erm": 0.3, "mm_rex": 8.0}
    while (seeds := _train(paper, tmp_path, UntilDecided(Builder(paper, [tmp_path], None, []), MOST), spread))[0]:
        asked.append(seeds)
    assert planned_looks(MOST) == (3, 5, 8, 12)
    assert asked[0] == ([0, 1, 2], 6)
    assert asked[1:] == [([3, 4], 2), ([5, 6, 7], 3), ([8, 9, 10, 11], 4)], "MM-REx alone goes on"
    cells = {cell.row: cell for cell in UntilDecided(Builder(paper, [tmp_path], None, []), MOST).table().cells}
    assert (cells["erm"].measured.n, cells["erm"].verdict.word) == (3, "equivalent")
    assert (cells["mm_rex"].measured.n, cells["mm_rex"].verdict.word) == (12, "undecided")
    assert cells["random"].measured is None


def test_a_paper_without_verdicts_has_the_first_look(paper, tmp_path):
    beside = paper.model_copy(update={"orientation": "another experiment"})
    spread = {"erm": 0.3, "mm_rex": 8.0}
    assert _train(beside, tmp_path, UntilDecided(Builder(beside, [tmp_path], None, []), MOST), spread) == ([0, 1, 2], 6)
    assert _asked_for(UntilDecided(Builder(beside, [tmp_path], None, []), MOST)) == {}


def test_a_verdict_counts_the_looks(paper, tmp_path):
    until = UntilDecided(Builder(paper, [tmp_path], None, []), MOST)
    _train(paper, tmp_path, until, {"erm": 0.3, "mm_rex": 8.0})
    until, plain = (
        UntilDecided(Builder(paper, [tmp_path], None, []), MOST),
        Builder(paper, [tmp_path], None, ["seed=range(0,3)"]),
    )
    often, once = (next(cell for cell in made.table().cells if cell.row == "erm") for made in (until, plain))
    assert often.measured == once.measured
    assert often.verdict.p == pytest.approx(min(1, 4 * once.verdict.p))
    assert often.verdict.interval[0] < once.verdict.interval[0]
    footer = until.table().footer
    assert any("looked at up to 4 times" in line for line in footer)
    (comparisons,) = (line for line in footer if line.startswith("Multiple comparisons"))
    assert ", at most 0." in comparisons, "each p-value is four times that of a single look"
    assert not any(", at most 0." in line for line in plain.table().footer)


def test_a_look_that_waits_shows_the_one_before(paper, tmp_path):
    spread = {"erm": 0.3, "mm_rex": 8.0}
    _train(paper, tmp_path, UntilDecided(Builder(paper, [tmp_path], None, []), MOST), spread)
    trials = list(_asked_for(UntilDecided(Builder(paper, [tmp_path], None, []), MOST)).values())
    synthetic.write(tmp_path, synthetic.completed(trials[0], lambda *_: 0.5))
    shown = next(c for c in UntilDecided(Builder(paper, [tmp_path], None, []), MOST).table().cells if c.row == "mm_rex")
    assert shown.measured.n == 3


def test_a_trial_that_failed_or_diverged_has_had_its_turn(paper, tmp_path):
    trials = _asked_for(UntilDecided(Builder(paper, [tmp_path], None, []), 3))
    for i, trial in enumerate(trials.values()):
        lost = synthetic.diverged(trial, 4) if i % 2 else synthetic.failed(trial, "no")
        synthetic.write(tmp_path, lost)
    assert _asked_for(UntilDecided(Builder(paper, [tmp_path], None, []), 3)) == {}


MINE = """\
name: mine
title: Mine
source: made up
published_n: 10
sweep: [dataset=colored_mnist, dataset.source=embedded, backbone.width=4, training.steps=3, "seed=range(0,10)"]
columns: [{label: p_e = 0.1, metric: test/0.1/accuracy}]
rows:
  far: {label: far from print, sweep: [method=erm], published: [[1.0, 0.1]]}
  open: {label: never decided, sweep: [method=erm, backbone.width=6], published: [[50.0, 60.0]]}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "paper").mkdir(parents=True)
    (tmp_path / "conf" / "paper" / "mine.yaml").write_text(MINE)
    return tmp_path


COMMAND = ("-m", "paper=mine", "seeds=until_decided", "max_seeds=4", "device=cpu", "hydra/launcher=inprocess")


def test_a_command_adds_seeds_until_cells_are_decided(project):
    answer = launch(*COMMAND)
    assert answer.code == 0, answer
    seeds: dict[int, list[int]] = {4: [], 6: []}
    for result in Store(project / "results").results():
        seeds[result.config["backbone"]["width"]].append(result.config["seed"])
    assert {width: sorted(found) for width, found in seeds.items()} == {4: [0, 1, 2], 6: [0, 1, 2, 3]}
    assert answer.out.count(" to run") == 2, "one plan for each look"
    assert re.findall(r"^ +published .* (\S)$", answer.out, re.M) == ["≠", "?"]
    again = launch(*COMMAND)
    assert again.code == 0
    assert "7 done, 0 to run" in again.out
    assert "far from print" in again.out
    table = irm_sweeps("table", "--paper", "mine")
    assert "looked at up to 2 times" in table.out
    assert "mine is shown with seeds=until_decided max_seeds=4, as its latest run had it" in table.err
    assert irm_sweeps("table", "--paper", "mine", "--missing").out == ""
    store = Store(project / "results")
    trial_id = next(result.trial_id for result in store.results() if result.config["backbone"]["width"] == 6)
    result = json.loads((store.folder(trial_id) / RESULT).read_text())
    error = {"kind": "exception", "message": "no", "details": ""}
    store.retire(trial_id, "failed")
    store.write_result({**result, "status": "failed", "metrics": {}, "error": error}, [])
    assert "7 done, 0 to run" in launch(*COMMAND).out, "a failed trial has had its turn"
    assert "6 done, 1 to run" in launch(*COMMAND, "rerun=failed").out


def test_a_union_and_a_plain_paper_together(project):
    folder = project / "conf" / "paper"
    other = MINE.replace("mine", "other").replace("backbone.width=6", "backbone.width=7")
    (folder / "other.yaml").write_text(other.replace("backbone.width=4", "backbone.width=5"))
    (folder / "union.yaml").write_text("name: union\ntitle: Union\ninclude: [other]\n")
    answer = launch(*COMMAND, "paper=union,mine", "max_seeds=3")
    assert answer.code == 0, answer
    widths = Counter(result.config["backbone"]["width"] for result in Store(project / "results").results())
    assert widths == {4: 3, 5: 3, 6: 3, 7: 3}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("method=erm", "seeds=until_decided"), "give paper=NAME"),
        (("paper=mine", "seeds=until_decided", "seed=0,1"), "give one of them"),
        (("paper=mine", "seeds=until_decided", "max_seeds=2"), "max_seeds"),
        (("paper=mine", "seeds=5"), "which seeds there are is said by seed"),
    ],
)
def test_mistakes(project, words, hint):
    answer = launch("-m", *words)
    assert answer.code == 2
    assert hint in answer.complaint
    assert not (project / "results").exists()
