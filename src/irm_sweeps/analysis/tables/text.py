"""A paper's table as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from irm_sweeps.analysis.tables.cell_text import legend
from irm_sweeps.analysis.tables.lines import Style, TableLine, lines_apart, main_lines
from irm_sweeps.analysis.tables.notes import Note
from irm_sweeps.analysis.tables.table import Table
from irm_sweeps.analysis.text_grid import WIDTH, TextRow, grid, joined, stacked, wrapped


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
    return joined(parts)


STYLE = Style(str, lambda text: f"{text}*", lambda numbers: f" [{numbers}]")
"""How a terminal has it."""


def _lines(lines: Iterable[TableLine]) -> list[TextRow]:
    """Return the lines of a grid: an empty one before a group of rows, and what stands below a row indented."""
    printed: list[TextRow] = []
    for line in lines:
        if line.kind == "group":
            printed.append(TextRow("", line.texts))
        printed.append(TextRow(f"  {line.label}" if line.kind == "below" else line.label, line.texts))
    return printed


def _note(number: int, note: Note, width: int) -> list[str]:
    """Return a note in lines, and below it its command, whole, so that it can be copied."""
    lines = wrapped(f"[{number}] {note.text}{':' if note.command else ''}", width)
    return [*lines, f"    {note.command}"] if note.command else lines
