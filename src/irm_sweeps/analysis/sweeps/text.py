"""A sweep's table as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from irm_sweeps.analysis.sweeps.environment_groups import EnvironmentColumn
from irm_sweeps.analysis.sweeps.rows import SettingRow
from irm_sweeps.analysis.sweeps.table import SweepTable
from irm_sweeps.analysis.tables.cell_text import NOTHING, with_spread
from irm_sweeps.analysis.text_grid import WIDTH, TextRow, grid, joined, wrapped


def sweep_text(
    table: SweepTable,
    rows: Sequence[SettingRow] | None = None,
    width: int = WIDTH,
    stars: Collection[tuple[str, str]] = (),
) -> str:
    """Return a sweep's table with its answer below.

    Parameters
    ----------
    rows
        Those to print, by default all.
    stars
        Row and column, by their labels, of the cells that get a star.
    """
    lines = [
        TextRow(row.name, [*(_number(row, column, stars) for column in table.columns), str(row.n)], row.losses)
        for row in (table.rows if rows is None else rows)
    ]
    parts = [
        wrapped(table.title, width),
        grid(_headings(table.columns), lines, width),
        [line for sentence in table.answer for line in wrapped(sentence, width)],
        [f"not run yet; this trains the rest: {table.fill}"] if table.fill else [],
    ]
    return joined(parts)


def _number(row: SettingRow, column: EnvironmentColumn, stars: Collection[tuple[str, str]]) -> str:
    summary = row.summary(column)
    star = "*" * ((row.name, column.label) in stars)
    return with_spread(summary, row.decimals) + star if summary else NOTHING


def _headings(columns: Sequence[EnvironmentColumn]) -> list[list[str]]:
    """Return two lines of headings, each group once above its environments; the last column is the number n."""
    before = [None, *(column.group for column in columns)]
    groups = ["" if column.group == last else column.group for column, last in zip(columns, before, strict=False)]
    return [[*groups, " "], [*(column.environment or "mean" for column in columns), "n"]]
