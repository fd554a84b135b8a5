"""A table as text in each format: Markdown, CSV and HTML here, LaTeX in `latex.py`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.tables.cell_text import (
    COMPARISON_COLUMNS,
    legend,
    mark_text,
    mean_text,
    measured_text,
    n_text,
    p_text,
    published_text,
)
from irm_sweeps.analysis.tables.latex import latex
from irm_sweeps.analysis.tables.lines import Style, TableLine, columns_apart, lines_apart, main_lines, rows_apart
from irm_sweeps.analysis.tables.notes import Note, spelled
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.analysis.tables.text import paper_text
from irm_sweeps.analysis.text_grid import padded, span, width

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


_TEMPLATES = Path(__file__).parents[1] / "templates"


def markdown(table: Table) -> str:
    """Return GitHub tables, aligned so that they also read as plain text: the cells, and the comparison apart."""
    style = Style(_escaped, lambda text: f"**{text}**", lambda numbers: f" [{numbers}]")
    parts = [f"**{_escaped(table.title)}**", _grid(table, main_lines(table, style))]
    if signs := legend(table):
        parts.append(f"{signs}.")
    if apart := list(lines_apart(table, style)):
        parts.append(_grid(table, apart))
    if table.notes:
        parts.append("\n".join(f"- [{i}] {_escaped(_sentence(note))}" for i, note in enumerate(table.notes, 1)))
    parts.append("\n".join(_item(_escaped(line)) for line in table.footer))
    return "\n\n".join(parts) + "\n"


def _grid(table: Table, lines: Iterable[TableLine]) -> str:
    """Return a GitHub table; the labels of what stands below a row, and of a group of rows, are in italics."""
    rows = [["", *map(_escaped, table.columns)]]
    for line in lines:
        label = line.label if line.kind == "row" else f"*{line.label}*"
        rows.append([text.replace("|", "\\|") for text in (label, *line.texts)])
    widths = [max(map(span, column)) for column in zip(*rows, strict=True)]
    printed = [
        f"| {' | '.join(padded(text, width) for text, width in zip(row, widths, strict=True))} |" for row in rows
    ]
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([printed[0], rule, *printed[1:]])


def _item(line: str) -> str:
    """Return a line of a footer as an item of a list, below the item before it where the line begins with a dash."""
    return f"  {line}" if line.startswith("- ") else f"- {line}"


def _sentence(note: Note) -> str:
    return f"{note.text}: `{note.command}`" if note.command else note.text


def _escaped(text: str) -> str:
    """Return text in which Markdown starts no HTML tag; `p < alpha` is no tag and stays as it is."""
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)


def csv(table: Table) -> str:
    """Return one line for each cell, in full precision; accuracies are in per cent.

    `docs/how_to/paper_table.md` says what each column holds and how to read it back.
    """
    import pandas as pd

    frame = pd.DataFrame([_record(table, label, cell) for label, cells in table.rows for cell in cells])
    whole = dict.fromkeys(("n", "lost", "settings", "published_n", "rerun_n", "pairs", "needs_n"), "Int64")
    return frame.astype(whole).to_csv(index=False, lineterminator="\n")


def _record(table: Table, label: str, cell: Cell) -> dict[str, Any]:
    measured, published, verdict = cell.measured, cell.published, cell.verdict
    low, high = verdict.interval if verdict and verdict.interval else (None, None)
    return {
        "table": table.name,
        "row": cell.row,
        "label": label,
        "theoretical": any(cell in cells for _, cells in table.theoretical_rows),
        "column": cell.column,
        "metric": cell.metric,
        "rule": cell.rule or None,
        "overrides": shlex.join(table.overrides) or None,
        "state": "measured" if measured else cell.state or None,
        "setting": spelled(cell.chosen) or None,
        "settings": cell.settings if cell.rule else None,
        "lam": cell.lam,
        "mean": measured.mean if measured else None,
        "sd": measured.sd if measured else None,
        "n": measured.n if measured else 0,
        "lost": cell.lost,
        "published_mean": published.mean if published else None,
        "published_sd": published.sd if published else None,
        "published_n": published.n if published else None,
        "against": table.against if verdict else None,
        "pairs": verdict.pairs if verdict else None,
        "difference": verdict.difference if verdict else None,
        "difference_low": low,
        "difference_high": high,
        "p_value": verdict.p if verdict else None,
        "p_holm": verdict.p_holm if verdict else None,
        "verdict": verdict.word if verdict else None,
        "notices": verdict.notices if verdict else None,
        "needs_n": verdict.needs if verdict else None,
        "rerun_mean": cell.rerun.mean if cell.rerun else None,
        "rerun_sd": cell.rerun.sd if cell.rerun else None,
        "rerun_n": cell.rerun.n if cell.rerun else None,
        "rerun_verdict": cell.rerun_verdict.word if cell.rerun_verdict else None,
        "note": "; ".join(note.text for note in cell.notes) or None,
        "command": "; ".join(note.command for note in cell.notes if note.command) or None,
    }


def html(table: Table) -> str:
    """Return a page that needs no other file."""
    return page("table.html", table=table)


TEXT: dict[str, Callable[[Cell], str]] = {
    "measured": measured_text,
    "mean": mean_text,
    "n": n_text,
    "mark": mark_text,
    "published": published_text,
    "p": p_text,
}
"""Texts of a cell, by their names in templates."""


def page(template: str, **values: Any) -> str:
    """Return the page that a template makes of values, all escaped.

    Templates also have `text`, the functions of `TEXT`, `columns`, the `COMPARISON_COLUMNS`, and `legend`,
    `columns_apart` and `rows_apart`, which take a table, and the filter `unbroken`.
    """
    return _environment().get_template(template).render(text=TEXT, **values) + "\n"


def source(name: str) -> str:
    """Return the text of a style or script, as it stands in a page."""
    return (_TEMPLATES / name).read_text()


@cache
def _environment() -> Environment:
    """Return what compiles the templates, each once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "columns": COMPARISON_COLUMNS,
        "legend": legend,
        "columns_apart": columns_apart,
        "rows_apart": rows_apart,
    }
    environment.filters["unbroken"] = _unbroken
    return environment


def _unbroken(text: str) -> Markup:
    """Return escaped text in which a number and its spread stay on one line; the page's source stays printable."""
    from markupsafe import Markup, escape

    return escape(text).replace(" ± ", Markup("&nbsp;±&nbsp;"))


FORMATS: dict[str, Callable[[Table, bool], str]] = {
    "text": lambda table, details: paper_text(table, width(), details=details),
    "md": lambda table, _: markdown(table),
    "latex": lambda table, details: latex(table, details=details),
    "csv": lambda table, _: csv(table),
    "html": lambda table, _: html(table),
}
"""Every format, by its name on the command line; the flag asks for the details where a format leaves them out."""
