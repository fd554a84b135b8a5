"""The report's curves over all trials of a data set: which data sets have them, and what the answers say."""

from __future__ import annotations

import base64

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis.figures import store_wide
from irm_sweeps.analysis.figures.budget import SearchCurve
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report.search_curves import _search_answer, curve_sections
from irm_sweeps.sweep.grid import trials

pytestmark = pytest.mark.usefixtures("composed_once")

SWEEP = ["method=irmv1,vrex", "lam=0,10,1000", "seed=0,1", "dataset.source=embedded"]


def _accuracy(trial, environment):
    """At 0.9 irmv1 has 30, 30.1 and 40 %, vrex 30 % more of that; what gains there loses elsewhere."""
    more = (trial.lam / 10_000) * (1.3 if "VREx" in str(type(trial.method)) else 1.0)
    return (0.3 + more if environment == "0.9" else 0.9 - more) + 0.01 * trial.seed


def _fill(store, *overrides):
    found = trials([*SWEEP, *overrides])
    synthetic.write(store, *(synthetic.completed(trial, _accuracy) for trial in found.values()))
    return found


def test_each_data_set_has_its_search_and_its_line(tmp_path):
    _fill(tmp_path)
    found = _fill(tmp_path, "dataset.n_train=3000", "seed=0")
    sections = curve_sections(Results([tmp_path]))
    assert [section.title.partition("?")[0] for section in sections] == [
        "How much of a result is search",
        "Can the data set test invariance",
    ] * 2
    assert sections[0].title.endswith("colored_mnist n_train=null")
    assert sections[2].title.endswith("colored_mnist n_train=3000")
    search, line = sections[0].answer, sections[1].answer
    assert search.startswith("test/0.9/accuracy: of vrex a random setting is expected to have 34.9 %, the best of 3")
    assert "by oracle" in search
    assert "largest step of 2 methods" in search
    assert "12 trials of 6 settings" in line
    assert line.endswith("so this shift tests invariance.")
    for section in sections:
        kind, _, content = section.picture.partition(",")
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(content)
        assert b"<svg" in svg
        assert b"training.steps=500" in svg, "what its trials have in common"
    only = curve_sections(Results([tmp_path]), trial_ids=list(found))
    assert [section.title.partition("? ")[2] for section in only] == ["colored_mnist"] * 2


def test_where_rules_score_trials_at_other_steps_a_random_setting_has_a_number_of_each():
    by, last, best = [[0.1], [0.2]], [[40.0], [50.0]], [[44.0], [58.0]]
    found = [{"val": [SearchCurve("vrex", by, last)], "oracle": [SearchCurve("vrex", by, best)]}]
    answer = _search_answer("test/0.9/accuracy", found)
    assert "a random setting is expected to have 45.0 % by val and 51.0 % by oracle, the best of 2" in answer
    assert "47.5 % by val and 54.5 % by oracle" in answer, "the better one of two draws, in three of four cases"
    alike = _search_answer("test/0.9/accuracy", [{**found[0], "oracle": found[0]["val"]}])
    assert "a random setting is expected to have 45.0 %, the best of 2" in alike


def test_a_picture_of_too_many_lines_is_left_out(tmp_path, monkeypatch):
    _fill(tmp_path)
    monkeypatch.setattr(store_wide, "MOST_LINES", 1)
    search, line = curve_sections(Results([tmp_path]))
    assert "No picture: --curves budget: the store has 2 lines, and it shows 1" in search.answer
    assert search.answer.startswith("test/0.9/accuracy: of vrex a random setting")
    assert search.picture == ""
    assert line.picture, "a point for each trial, whatever its series"


def test_a_store_with_little_has_none(tmp_path):
    assert curve_sections(Results([tmp_path])) == []
    one = next(iter(trials(SWEEP).values()))
    synthetic.write(tmp_path, synthetic.completed(one, _accuracy))
    assert curve_sections(Results([tmp_path])) == []
