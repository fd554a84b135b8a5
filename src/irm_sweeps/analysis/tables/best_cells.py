"""The best cells of a table, column by column, and those that cannot be told apart from them."""

from __future__ import annotations

from dataclasses import replace

from irm_sweeps.analysis.statistics.two_means import Summary, interval
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.sweep.metric import is_lower_better

MEANING = (
    "Bold: in each column the best mean among the rows with trials (of a risk, the lowest), and every mean whose "
    "difference from it has a 95 % confidence interval (Welch's) that contains 0."
)
"""The line under a table with bold cells."""
ONE_TEST_SET = " The sampling error of the one test set that rows share is not in it."
"""How it goes on where rows share a test set."""


def with_bold(table: Table) -> Table:
    """Return a table with its `best_cells` bold, and the line that says so."""
    shared = any(cell.measured is not None and cell.measured.examples for cell in table.cells)
    meaning = MEANING + ONE_TEST_SET * shared
    return replace(table, bold=best_cells(table), footer=[*table.footer, meaning], brief=[*table.brief, meaning])


def best_cells(table: Table) -> frozenset[tuple[str, str]]:
    """Return row and column of the best mean of each column, and of every mean that ties with it.

    The best is the highest mean, of a risk the lowest, among the measured cells with one metric. A mean ties with it if
    Welch's 95 % confidence interval of their difference contains 0, of one test set if they share one. Without a
    standard deviation only equals tie.
    """
    columns: dict[tuple[str, str], list[tuple[Cell, Summary]]] = {}
    for cell in table.cells:
        if cell.measured is not None:
            columns.setdefault((cell.column, cell.metric), []).append((cell, cell.measured))
    return frozenset(
        (cell.row, cell.column)
        for (_, metric), measured in columns.items()
        for cell, summary in measured
        if _ties(summary, _best(metric, [other for _, other in measured]))
    )


def _best(metric: str, summaries: list[Summary]) -> Summary:
    sign = -1.0 if is_lower_better(metric) else 1.0
    return max(summaries, key=lambda summary: sign * summary.mean)


def _ties(summary: Summary, best: Summary) -> bool:
    if summary.mean == best.mean:
        return True
    if summary.sd is None or best.sd is None:
        return False
    if summary.examples == best.examples:
        summary, best = replace(summary, examples=None), replace(best, examples=None)
    low, high = interval(summary, best)
    return low <= 0 <= high
