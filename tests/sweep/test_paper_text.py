"""What a paper file says of its text and of its published code: it is held against the trials, and printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.analysis.tables.formats import FORMATS
from irm_sweeps.analysis.tables.table import Table
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.paper import Departure, Paper, Row, load_paper
from table_words import by_seed, records

pytestmark = pytest.mark.usefixtures("composed_once")

RISK = {"key": "method.risk", "here": "mean", "text": "sum"}
DEPTH = {"key": "backbone.depth", "here": 2, "text": "one hidden layer"}


def paper_with(row: dict[str, Any], **more: Any) -> Paper:
    erm = {"label": "ERM", "sweep": ["method=erm"], "published": [[78, 1], [71, 1]], **row}
    columns = [{"label": f"p_e = {p}", "metric": f"test/{p}/accuracy"} for p in ("0.1", "0.9")]
    common = ["dataset.source=embedded", "seed=range(0,4)"]
    return Paper.from_config(
        {"name": "mine", "title": "Mine", "sweep": common, "rows": {"erm": erm}, "columns": columns, **more}
    )


def table_of(paper: Paper, store: Path, *overrides: str) -> Table:
    synthetic.fill(store, paper, "erm", by_seed)
    return Builder(paper, [store], None, overrides).table()


def test_every_format_has_the_footnote_of_a_row_that_departs(tmp_path: Path) -> None:
    table = table_of(paper_with({"differs_from_text": [RISK]}, differs_from_text=[DEPTH]), tmp_path)
    told = "not as in the paper's text: backbone.depth=2 (text: one hidden layer); method.risk=mean (text: sum)"
    printed = {name: FORMATS[name](table, True) for name in ("md", "csv", "html", "latex")}
    plain = printed["latex"].replace(r"\_", "_").replace(r"\textquotesingle{}", "'")
    assert all(told in text for text in (printed["md"], printed["csv"], printed["html"].replace("&#39;", "'"), plain))
    assert len(re.findall(r" \[1\]", printed["md"])) == 2, "beside the row's name, and before the note"
    assert told in " ".join(FORMATS["text"](table, True).split())


def test_what_holds_in_all_rows_is_said_once(tmp_path: Path) -> None:
    other = {"label": "V-REx", "sweep": ["method=vrex"], "published": [[78, 1], [71, 1]]}
    paper = paper_with({"differs_from_text": [RISK]}, differs_from_text=[DEPTH])
    paper = paper.model_copy(update={"rows": {**paper.rows, "vrex": Row.model_validate(other)}})
    printed = FORMATS["md"](table_of(paper, tmp_path), True)
    assert printed.count("not as in the paper's text, in all rows: backbone.depth=2 (text: one hidden layer)\n") == 1
    assert printed.count("not as in the paper's text: method.risk=mean (text: sum)\n") == 1
    assert "| ERM [1,2] " in printed
    assert "| V-REx       | missing [1,3]" in printed, "its trials depart as well"
    listed = [Departure.model_validate(entry) for entry in (DEPTH, {**RISK, "here": ["mean", "sum"], "text": "images"})]
    by_row = paper.model_copy(update={"differs_from_text": listed})
    assert "in all rows: backbone.depth=2 (text: one hidden layer)\n" in FORMATS["md"](table_of(by_row, tmp_path), True)
    depth = [{**DEPTH, "text": "none"}]
    replaced = paper.model_copy(update={"rows": {**paper.rows, "vrex": Row(**other, differs_from_text=depth)}})
    printed = FORMATS["md"](table_of(replaced, tmp_path), True)
    assert "in all rows" not in printed
    assert "backbone.depth=2 (text: one hidden layer); method.risk=mean" in printed


@pytest.mark.parametrize("name", paper_names())
def test_a_row_departs_in_its_stopping_rule_only_if_that_scores_it(name: str) -> None:
    paper = load_paper(name)
    for row in paper.rows.values():
        if row.sweep is not None and (row.select or paper.select) != "stop":
            assert not [entry.key for entry in paper.departures(row) if entry.key.startswith("method.stop_")], row.label


def test_an_override_takes_its_entry_along(tmp_path: Path) -> None:
    paper = paper_with({"differs_from_text": [RISK]}, differs_from_text=[DEPTH])
    (note,) = {note.text for note in table_of(paper, tmp_path, "method.risk=sum").notes if "text" in note.text}
    assert note == "not as in the paper's text: backbone.depth=2 (text: one hidden layer)"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**RISK, "key": "method.rsk"}, "method.rsk is no key of its trials (did you mean `method.risk`?)"),
        ({**RISK, "here": "images"}, "method.risk=mean in its trials, not images: write here: mean"),
        ({**RISK, "text": "mean"}, "method.risk=mean is what the text has: leave the entry out"),
    ],
)
def test_an_entry_that_the_trials_do_not_bear_out_is_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"mine, row erm: differs_from_text: {words}")):
        paper_with({"differs_from_text": [entry]}).all_trials()


def test_a_rerun_of_the_published_code_has_a_column_and_a_verdict(tmp_path: Path) -> None:
    rerun = {"source": "main.py", "n": 8, "cells": [[71.4, 0.5], None]}
    table = table_of(paper_with({"rerun": rerun}, published_n=10), tmp_path)
    near, shifted = table.cells
    assert near.measured is not None
    assert near.rerun_verdict is not None
    assert shifted.rerun_verdict is None
    assert near.rerun_verdict.difference == pytest.approx(near.measured.mean - 71.4)
    below = {
        line.split("|")[1].strip(): line.split("|")[2].strip()
        for line in FORMATS["md"](table, True).splitlines()[2:]
        if "|" in line
    }
    assert below["*published code, rerun*"] == "71.4 ± 0.5 (n=8)"
    assert below["*difference from it*"].startswith(f"{near.rerun_verdict.difference:+.1f} [")
    assert below["*verdict on it*"] == near.rerun_verdict.word
    assert "published code, rerun" in FORMATS["text"](table, True)
    assert records(FORMATS["csv"](table, True))["erm", "p_e = 0.1"]["rerun_mean"] == "71.4"
    with pytest.raises(UserError, match="row 'erm', rerun: 1 cells for 2 columns"):
        paper_with({"rerun": {**rerun, "cells": [None]}})


def test_published_cells_for_orientation_have_no_verdict(tmp_path: Path) -> None:
    table = table_of(paper_with({}, orientation="theirs are larger"), tmp_path)
    assert table.comparison_columns == ("published",)
    assert not any(cell.verdict for cell in table.cells)
    assert any("for orientation, without a verdict: theirs are larger" in line for line in table.footer)


def test_a_column_may_have_a_rule_of_its_own(tmp_path: Path) -> None:
    paper = paper_with({"published": []})
    column = paper.columns[0].model_copy(update={"label": "oracle", "select": "oracle"})
    paper = paper.model_copy(update={"columns": (*paper.columns, column), "select": "last"})
    builder = Builder(paper, [tmp_path], None, [])
    assert [builder.rule_for(paper.rows["erm"], column) for column in paper.columns] == ["last", "last", "oracle"]
    assert any("Column oracle has selection rule oracle" in line for line in builder.table().footer)
