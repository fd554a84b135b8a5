"""The page of a paper file's keys: a missing required key is named in an error, keys with defaults may be omitted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keys
import pytest
import yaml

from commands import launch
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.paper import load_paper

pytestmark = pytest.mark.usefixtures("unpriced")

WHOLE: dict[str, Any] = {
    "name": "mine",
    "title": "Mine",
    "rows": {
        "erm": {
            "label": "ERM",
            "sweep": ["method=erm", "dataset.source=embedded"],
            "differs_from_text": [{"key": "method.risk", "here": "mean", "text": "sum"}],
            "rerun": {"source": "main.py", "n": 3, "cells": [None]},
        }
    },
    "columns": [{"label": "shifted", "metric": "test/0.9/accuracy"}],
    "figure": {"label": "Accuracy"},
}
"""A file with what is required and, so that there is a row and a figure, the keys which lead there."""

PLAIN: dict[str, Any] = {**WHOLE, "rows": {"erm": {key: WHOLE["rows"]["erm"][key] for key in ("label", "sweep")}}}
"""The same without what a row says of its text and of its published code, for tests that change its trials."""

PLACES = {
    "The file": (),
    "A row": ("rows", "erm"),
    "A column": ("columns", 0),
    "A departure from the text": ("rows", "erm", "differs_from_text", 0),
    "A rerun of the published code": ("rows", "erm", "rerun"),
    "A figure": ("figure",),
}
"""By the page's heading, where such keys stand in the file."""


def told() -> dict[str, dict[str, str]]:
    """Return the default that the page gives for each key, by heading."""
    page = keys.pages()["reference/papers.md"]
    return {
        heading: dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.M))
        for heading, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    }


REQUIRED = [
    (place, name) for heading, place in PLACES.items() for name, d in told()[heading].items() if d == keys.REQUIRED
]


def planned(
    folder: Path, paper: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked: str = "paper=mine", *more: str
) -> Any:
    file = folder / "paper" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(paper))
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(folder))
    return launch("-m", asked, *more, "plan=true", f"results={folder / 'results'}")


def test_the_page_has_every_kind_of_key() -> None:
    assert told().keys() == PLACES.keys()
    assert told()["The file"]["source"] == '`""`'
    assert told()["The file"]["select"] == "`null`"
    assert told()["A row"]["select"] == "`null`"
    assert told()["The file"]["margin"] == "`2.0`"
    assert len(REQUIRED) == 6 + 3 + 3


@pytest.mark.parametrize(("place", "name"), REQUIRED)
def test_what_is_required_is_asked_for(
    place: tuple[Any, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = yaml.safe_load(yaml.safe_dump(WHOLE))
    part = paper
    for step in place:
        part = part[step]
    del part[name]
    where = ".".join(map(str, ["paper", *place, name]))
    assert f"`{where}` is missing: give it in the YAML" in planned(tmp_path, paper, monkeypatch).complaint


@pytest.mark.parametrize("more", [{}, {"select": None}])
def test_all_else_may_be_left_out(more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = planned(tmp_path, {**WHOLE, **more}, monkeypatch)
    assert answer.code == 0, answer
    assert "0 done, 1 to run" in answer.out


@pytest.mark.parametrize(
    ("place", "key", "value", "words"),
    [
        (("rows", "erm"), "one_test_set", [[278]], "`paper.rows.erm.one_test_set.0.1`"),
        (("rows", "erm"), "one_test_set", [[278, 1]], "greater than or equal to 2"),
        (("rows", "erm"), "one_test_set", [[278, 299], None], "one_test_set: 2 entries for 1 column"),
        (("columns", 0), "metric", "test/0.9/risk", "test/0.9/risk is no accuracy"),
        ((), "published_n_assumed", "print does not say", "give published_n too"),
    ],
)
def test_a_bad_value_is_one_line(
    place: tuple[Any, ...], key: str, value: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = yaml.safe_load(yaml.safe_dump(WHOLE))
    paper["rows"]["erm"]["one_test_set"] = [[278, 299]]
    part = paper
    for step in place:
        part = part[step]
    part[key] = value
    assert words in planned(tmp_path, paper, monkeypatch).complaint


@pytest.mark.parametrize("asked", ["paper=mine", "paper=demo,mine"])
def test_a_copied_file_needs_its_own_name(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the commands that fill its table would run the other file."""
    told = "paper=mine: its file says name: next; write name: mine there"
    assert told in planned(tmp_path, {**PLAIN, "name": "next"}, monkeypatch, asked).complaint
    with pytest.raises(UserError, match=told):
        load_paper("mine")


def changed(**changes: Any) -> dict[str, Any]:
    """The whole file with changes: of keys of its own, of its row (`row_KEY`) or of its column (`column_KEY`)."""
    paper = yaml.safe_load(yaml.safe_dump(PLAIN))
    for name, value in changes.items():
        kind, _, key = name.partition("_")
        part = {"row": paper["rows"]["erm"], "column": paper["columns"][0]}.get(kind, paper)
        part[name if part is paper else key] = value
    return paper


REGRESSION = ["dataset=linear_unit_tests", "dataset.example=cause_effect"]
COMPARED, STEPPED = "training.similarity=environments", "training.similarity=inner_step"
NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"row_published": [[88, -1]]}, "row 'erm', column 'shifted': published sd -1 is below 0; write [mean, sd]"),
    ({"row_published": [[300, 4]]}, "column 'shifted': published accuracy 300 is not within 0...100 per cent"),
    ({"row_published": [[0.88, 0.01]]}, "are in per cent, and the highest is 0.88: write 88 for 0.88"),
    ({"row_published": ["88.0 ± 1.0"]}, "'88.0 ± 1.0' is no cell: write [[mean, sd], ...], one [mean, sd] or"),
    ({"row_published": [88, 30]}, "88 is no cell: write [[mean, sd], ...]"),
    ({"row_publishd": [[88]]}, "unknown key `paper.rows.erm.publishd` (did you mean `published`?)"),
    ({"column_metrc": "x"}, "unknown key `paper.columns.0.metrc` (did you mean `metric`?)"),
    ({"figure": {"label": "x", "log_z": 1}}, "unknown key `paper.figure.log_z` (did you mean `log_y`?)"),
    ({"row_sweep": ["method=vrex", "lam=1", 10]}, '10 is no override of its own: put quotes around "lam=1,10"'),
    ({"sweep": ["lam=1", "x"]}, "'x' is no override of its own: put quotes around \"lam=1,x\""),
    ({"row_sweep": "method=erm"}, "give a list: [method=erm]"),
    ({"columns": [*PLAIN["columns"], *PLAIN["columns"]]}, "two columns have the label 'shifted': cells are named by"),
    ({"column_metric": "test/0.9/acc"}, "metric 'test/0.9/acc': give split/environment/accuracy or"),
    (
        {"column_metric": "test/0.8/accuracy", "row_sweep": ["dataset.test_p_e=[0.1,0.9]"]},
        "mine, row erm, column 'shifted': metric test/0.8/accuracy: ColoredMNIST has no test environment 0.8",
    ),
    ({"column_metric": "tset/0.9/accuracy"}, "ColoredMNIST has no split tset; splits: train, test"),
    ({"column_metric": "val/mean/risk"}, "metric val/mean/risk: ColoredMNIST holds no validation inputs back: set"),
    ({"select": "val"}, "mine, row erm, column 'shifted': selection rule val: ColoredMNIST holds no validation inputs"),
    ({"row_select": "val"}, "back: set dataset.n_val=N, or select otherwise"),
    ({"select": "stop"}, "column 'shifted': selection rule stop: ERM as it is set never stops: select otherwise"),
    ({"row_select": "stop", "row_sweep": ["method=vrex"]}, "selection rule stop: VREx as it is set never stops"),
    ({"row_select": "stop", "row_sweep": ["method=meta_irm", "method.stop_rule=none"]}, "MetaIRM as it is set never"),
    ({"row_select": "stop", "row_sweep": ["method=irm_games", "method.stop_below=0"]}, "IRMGames as it is set never"),
    (
        {"column_metric": "representation/0.9/pwcca"},
        "metric representation/0.9/pwcca: training.similarity=none does not measure it: set "
        "training.similarity=environments",
    ),
    (
        {"column_metric": "inner_step/layer1/pwcca", "row_sweep": ["method=meta_irm", COMPARED]},
        "training.similarity=environments does not measure it: set training.similarity=inner_step",
    ),
    ({"column_metric": "test/0.9/pwcca"}, "the split test has no pwcca: give representation/0.9/pwcca or inner_step/"),
    (
        {"column_metric": "representation/0.77/pwcca", "row_sweep": ["method=erm", COMPARED]},
        "metric representation/0.77/pwcca: ColoredMNIST has no test environment 0.77",
    ),
    ({"column_metric": "representation/0.9/risk"}, "the split representation has no risk: give representation/0.9/pw"),
    (
        {"column_metric": "test/0/accuracy", "row_sweep": REGRESSION},
        "row erm, column 'shifted': metric test/0/accuracy: LinearUnitTests is a regression, without accuracy: use "
        "test/0/risk",
    ),
]


@pytest.mark.parametrize(("changes", "words"), NONSENSE, ids=lambda value: str(value)[:30])
def test_what_no_table_can_show_is_refused_before_training(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in planned(tmp_path, changed(**changes), monkeypatch).complaint


def test_held_out_images_can_select(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = changed(select="val", row_sweep=["dataset.source=embedded", "dataset.n_train=50", "dataset.n_val=5"])
    assert planned(tmp_path, paper, monkeypatch).code == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"select": "stop", "row_sweep": ["method=meta_irm"]},
        {"select": "stop", "row_sweep": ["method=irm_games"]},
        {"column_metric": "representation/0.9/pwcca", "row_sweep": ["method=erm", COMPARED]},
        {"column_metric": "representation/mean/pwcca", "row_sweep": ["method=meta_irm", "training.similarity=both"]},
        {"column_metric": "inner_step/layer1/pwcca", "row_sweep": ["method=meta_irm", STEPPED]},
    ],
)
def test_what_trials_can_fill_is_accepted(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**changes, "sweep": ["dataset.source=embedded", "dataset.n_train=50"]}
    assert planned(tmp_path, changed(**changes), monkeypatch).code == 0


def test_a_method_of_the_command_s_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = changed(select="stop", row_sweep=["method=meta_irm", "dataset.source=embedded"])
    assert planned(tmp_path, paper, monkeypatch, "paper=mine", "method.stop_rule=none").code == 0


def test_a_regression_has_risks_and_another_dataset_of_the_command_s_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for metric, more in (("test/0/risk", []), ("test/0/accuracy", ["dataset.example=cows_camels"])):
        folder = tmp_path / metric.replace("/", "_")
        folder.mkdir()
        paper = changed(column_metric=metric, row_sweep=REGRESSION)
        assert planned(folder, paper, monkeypatch, "paper=mine", *more).code == 0


@pytest.mark.parametrize("name", ["rows", "columns"])
def test_a_table_needs_both(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = {key: value for key, value in PLAIN.items() if key != name}
    assert "give rows and columns, or, for a union of other files" in planned(tmp_path, paper, monkeypatch).complaint
