"""Tables as plain text for a terminal: that of a sweep, and that of a paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from irm_sweeps.analysis.cell_text import NOTHING, published_text, rerun_text, verdict_text, with_spread
from irm_sweeps.analysis.environment_groups import Column
from irm_sweeps.analysis.sweep_rows import Row
from irm_sweeps.analysis.sweep_table import SweepTable
from irm_sweeps.analysis.table import Cell, Table
from irm_sweeps.analysis.text_grid import WIDTH, Line, grid, wrapped
from irm_sweeps.sweep.paper_departures import DEPARTS


def sweep_text(table: SweepTable, rows: Sequence[Row] | None = None, width: int = WIDTH) -> str:
    """Return a sweep's table with its answer below; `rows` are those to print, by default all."""
    lines = [
        Line(row.name, [*(_number(row, column) for column in table.columns), str(row.n)], row.losses)
        for row in (table.rows if rows is None else rows)
    ]
    parts = [
        wrapped(table.title, width),
        grid(_headings(table.columns), lines, width),
        [line for sentence in table.answer for line in wrapped(sentence, width)],
        [f"not run yet; this trains the rest: {table.fill}"] if table.fill else [],
    ]
    return _joined(parts)


def _number(row: Row, column: Column) -> str:
    summary = row.summary(column)
    return with_spread(summary, row.decimals) if summary else NOTHING


def _headings(columns: Sequence[Column]) -> list[list[str]]:
    """Return two lines of headings, each group once above its environments; the last column is the number n."""
    before = [None, *(column.group for column in columns)]
    groups = ["" if column.group == last else column.group for column, last in zip(columns, before, strict=False)]
    return [[*groups, " "], [*(column.environment or "mean" for column in columns), "n"]]


def paper_text(table: Table, width: int = WIDTH) -> str:
    """Return a paper's table: what is measured, and below it what is published, and the verdict."""
    parts = [
        wrapped(table.title, width),
        grid([list(table.columns)], list(_paper_lines(table)), width),
        wrapped(table.footer[0], width) if table.footer else [],
        wrapped(_departing(table), width),
    ]
    return _joined(parts)


def _departing(table: Table) -> str:
    """Return the line that names the rows which are not as the paper's text has them; empty if there are none."""
    rows = [
        label for label, cells in table.rows if any(note.text.startswith(DEPARTS) for c in cells for note in c.notes)
    ]
    return f"{DEPARTS}: {', '.join(rows)}; --format md names the keys" if rows else ""


def _paper_lines(table: Table) -> Iterator[Line]:
    for label, cells in table.rows:
        yield Line(label, [_measured(cell) for cell in cells])
        if any(cell.published for cell in cells):
            yield Line("  published", [published_text(cell) for cell in cells])
        if any(cell.verdict for cell in cells):
            yield Line("  verdict", [verdict_text(cell) for cell in cells])
        if any(cell.rerun for cell in cells):
            yield Line("  its code, rerun", [rerun_text(replace(cell, rerun_verdict=None)) for cell in cells])


def _measured(cell: Cell) -> str:
    if cell.measured is None:
        return cell.state or NOTHING
    return f"{with_spread(cell.measured, cell.decimals)} ({cell.measured.n})"


def _joined(parts: Sequence[Sequence[str]]) -> str:
    """Return the parts that have any line, an empty line between two."""
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
