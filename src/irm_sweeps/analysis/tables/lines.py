"""The lines that text, Markdown and LaTeX print of a table: each row, below it what its cells are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from irm_sweeps.analysis.tables.cell_text import (
    COMPARISON_COLUMNS,
    NOTHING,
    SETTING,
    ComparisonColumn,
    mark_text,
    mean_text,
    n_text,
    published_text,
)
from irm_sweeps.analysis.tables.table import Cell, Rows, Table

THEORETICAL = "theoretical"
"""Heading above the rows without trials."""


@dataclass(frozen=True)
class Style:
    """How a format writes plain text, bold text, the numbers of notes, and the number of seeds of a cell."""

    plain: Callable[[str], str]
    bold: Callable[[str], str]
    note: Callable[[str], str]
    n: Callable[[str], str] | None = None

    def numbered(self, text: str, numbers: Sequence[int]) -> str:
        """Return text that is already written, with the numbers of its notes."""
        return text + (self.note(",".join(map(str, numbers))) if numbers else "")


@dataclass(frozen=True)
class TableLine:
    """One line, its texts written in a style; `below` lines belong to the row above, a `group` is a heading."""

    kind: Literal["row", "below", "group"]
    label: str
    texts: Sequence[str]


def main_lines(table: Table, style: Style) -> Iterator[TableLine]:
    """Yield what is measured, below it what is published with the verdict's sign, and last the theoretical rows."""
    below = [column for column in _columns(table) if not column.apart]
    for label, cells in table.compared_rows:
        yield TableLine("row", _label(table, label, cells, style), [_measured(table, c, cells, style) for c in cells])
        for column in below:
            if any(cell.published for cell in cells):
                yield TableLine(
                    "below", style.plain(column.heading), [style.plain(_with_mark(column, c)) for c in cells]
                )
    if table.theoretical_rows:
        yield TableLine("group", style.plain(THEORETICAL), ["" for _ in table.columns])
    for label, cells in table.theoretical_rows:
        yield TableLine("row", style.plain(label), [style.plain(published_text(cell)) for cell in cells])


def lines_apart(table: Table, style: Style) -> Iterator[TableLine]:
    """Yield the facts of the comparison that do not stand in the cells, and the chosen settings; none without any."""
    for label, cells in table.compared_rows:
        facts = [(column.heading, [column.text(cell) for cell in cells]) for column in columns_apart(table)]
        kept = [(heading, texts) for heading, texts in facts if set(texts) - {"", NOTHING}]
        if kept:
            yield TableLine("row", style.plain(label), ["" for _ in cells])
        for heading, texts in kept:
            yield TableLine("below", style.plain(heading), [style.plain(text) for text in texts])


def columns_apart(table: Table) -> list[ComparisonColumn]:
    """Return the facts that the table apart has, in their order."""
    chosen = [SETTING] if any(SETTING.text(cell) for cell in table.cells) else []
    return [*(column for column in _columns(table) if column.apart), *chosen]


def rows_apart(table: Table) -> Rows:
    """Return the rows that the table apart has."""
    columns = columns_apart(table)
    return [
        (label, cells) for label, cells in table.compared_rows if any(c.text(cell) for c in columns for cell in cells)
    ]


def _columns(table: Table) -> list[ComparisonColumn]:
    return [COMPARISON_COLUMNS[name] for name in table.comparison_columns]


def _label(table: Table, label: str, cells: Sequence[Cell], style: Style) -> str:
    return style.numbered(style.plain(label), table.row_note_numbers(cells))


def _measured(table: Table, cell: Cell, cells: Sequence[Cell], style: Style) -> str:
    mean = style.plain(mean_text(cell))
    if (cell.row, cell.column) in table.bold:
        mean = style.bold(mean)
    mark = "" if cell.published else mark_text(cell)
    text = " ".join(filter(None, (mean, (style.n or style.plain)(n_text(cell)), style.plain(mark))))
    return style.numbered(text, table.note_numbers(cell, cells))


def _with_mark(column: ComparisonColumn, cell: Cell) -> str:
    mark = mark_text(cell) if column is COMPARISON_COLUMNS["published"] else ""
    return f"{column.text(cell)} {mark}".rstrip()
