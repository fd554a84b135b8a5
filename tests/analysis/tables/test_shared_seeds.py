"""Which rows of a table share seeds of a data set, and how the line under it says so."""

from __future__ import annotations

from irm_sweeps.analysis.statistics.two_means import Verdict
from irm_sweeps.analysis.tables.shared_seeds import line, sharing
from irm_sweeps.analysis.tables.table import Cell


def _row(label, dataset, seeds, columns=1, p=0.5):
    verdict = Verdict("undecided", 0.0, p)
    values = dict.fromkeys(seeds, 50.0)
    cell = Cell(label, "c", "test/0.9/accuracy", None, None, verdict, by_seed=values, dataset=dataset)
    return label, [cell] * columns


def test_rows_that_share_seeds_are_named():
    rows = [_row("a", "one", [0, 1]), _row("b", "two", [0, 1]), _row("c", "one", [1, 2]), _row("d", "one", [7])]
    assert "in a, c." in line(rows)
    assert "in all rows" in line([rows[0], rows[2]])
    assert "in all rows and cells of one row" in line([_row("a", "one", [0], 2), _row("c", "one", [0])]).replace(
        ",", ""
    )
    assert line([rows[0], rows[1], rows[3]]) == ""
    assert line([rows[0], _row("c", "one", [0], p=None)]) == "", "nothing is tested there"


def test_rows_are_linked_over_others():
    assert sharing({"a": {("x", 0)}, "b": {("x", 1)}, "c": {("y", 0)}, "d": {("x", 0), ("x", 1)}}) == [["a", "b", "d"]]
