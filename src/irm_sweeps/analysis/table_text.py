"""Tables as plain text for a terminal: that of a sweep, and that of a paper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from irm_sweeps.analysis.cell_text import NOTHING, legend, with_spread
from irm_sweeps.analysis.environment_groups import Column
from irm_sweeps.analysis.notes import Note
from irm_sweeps.analysis.sweep_rows import Row
from irm_sweeps.analysis.sweep_table import SweepTable
from irm_sweeps.analysis.table import Table
from irm_sweeps.analysis.table_lines import Style, TableLine, lines_apart, main_lines
from irm_sweeps.analysis.text_grid import WIDTH, Line, grid, stacked, wrapped


def sweep_text(
    table: SweepTable,
    rows: Sequence[Row] | None = None,
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
        Line(row.name, [*(_number(row, column, stars) for column in table.columns), str(row.n)], row.losses)
        for row in (table.rows if rows is None else rows)
    ]
    parts = [
        wrapped(table.title, width),
        grid(_headings(table.columns), lines, width),
        [line for sentence in table.answer for line in wrapped(sentence, width)],
        [f"not run yet; this trains the rest: {table.fill}"] if table.fill else [],
    ]
    return _joined(parts)


def _number(row: Row, column: Column, stars: Collection[tuple[str, str]]) -> str:
    summary = row.summary(column)
    star = "*" * ((row.name, column.label) in stars)
    return with_spread(summary, row.decimals) + star if summary else NOTHING


def _headings(columns: Sequence[Column]) -> list[list[str]]:
    """Return two lines of headings, each group once above its environments; the last column is the number n."""
    before = [None, *(column.group for column in columns)]
    groups = ["" if column.group == last else column.group for column, last in zip(columns, before, strict=False)]
    return [[*groups, " "], [*(column.environment or "mean" for column in columns), "n"]]


def paper_text(table: Table, width: int = WIDTH, *, details: bool = False) -> str:
    """Return a paper's table; with `details` also intervals, p-values and all lines on how the numbers were made."""
    apart = _lines(lines_apart(table, STYLE)) if details else []
    main = _lines(main_lines(table, STYLE))
    parts = [
        wrapped(table.title, width),
        grid(stacked(table.columns, main), main, width),
        wrapped(", ".join(filter(None, (legend(table), "* bold" * bool(table.bold)))), width),
        grid(stacked(table.columns, apart), apart, width) if apart else [],
        [line for i, note in enumerate(table.notes, 1) for line in _note(i, note, width)],
        [line for sentence in (table.footer if details else table.brief) for line in wrapped(sentence, width)],
    ]
    return _joined(parts)


STYLE = Style(str, lambda text: f"{text}*", lambda numbers: f" [{numbers}]")
"""How a terminal has it."""


def _lines(lines: Iterable[TableLine]) -> list[Line]:
    """Return the lines of a grid: an empty one before a group of rows, and what stands below a row indented."""
    printed: list[Line] = []
    for line in lines:
        if line.kind == "group":
            printed.append(Line("", line.texts))
        printed.append(Line(f"  {line.label}" if line.kind == "below" else line.label, line.texts))
    return printed


def _note(number: int, note: Note, width: int) -> list[str]:
    """Return a note in lines, and below it its command, whole, so that it can be copied."""
    lines = wrapped(f"[{number}] {note.text}{':' if note.command else ''}", width)
    return [*lines, f"    {note.command}"] if note.command else lines


def _joined(parts: Sequence[Sequence[str]]) -> str:
    """Return the parts that have any line, an empty line between two."""
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
