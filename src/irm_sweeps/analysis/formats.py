"""A table as text in each format: Markdown, CSV and HTML here, LaTeX in `latex.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.cell_text import COMPARISON_COLUMNS, measured_text, p_text
from irm_sweeps.analysis.latex import latex
from irm_sweeps.analysis.notes import Note, spelled
from irm_sweeps.analysis.table import Cell, Table
from irm_sweeps.analysis.table_text import paper_text

if TYPE_CHECKING:
    from jinja2 import Environment


_TEMPLATES = Path(__file__).parent / "templates"


def markdown(table: Table) -> str:
    """Return a GitHub table, aligned so that it also reads as plain text."""
    comparison = [COMPARISON_COLUMNS[name] for name in table.comparison_columns]
    header = [""]
    for column in table.columns:
        header += [column, *(beside.heading for beside in comparison)]
    lines = [header]
    for label, cells in table.rows:
        lines.append([label])
        for cell in cells:
            numbers = "".join(f" [{number}]" for number in table.note_numbers(cell))
            lines[-1] += [measured_text(cell) + numbers, *(beside.text(cell) for beside in comparison)]
    lines = [[_without_tags(text).replace("|", "\\|") for text in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def joined(line: Sequence[str]) -> str:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    parts = [f"**{_without_tags(table.title)}**", "\n".join([joined(lines[0]), rule, *map(joined, lines[1:])])]
    if table.notes:
        parts.append("\n".join(f"- [{i}] {_without_tags(_sentence(note))}" for i, note in enumerate(table.notes, 1)))
    parts.append("\n".join(f"- {_without_tags(line)}" for line in table.footer))
    return "\n\n".join(parts) + "\n"


def _sentence(note: Note) -> str:
    return f"{note.text}: `{note.command}`" if note.command else note.text


def _without_tags(text: str) -> str:
    """Return text in which Markdown starts no HTML tag; `p < alpha` is no tag and stays as it is."""
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)


def csv(table: Table) -> str:
    """Return one line for each cell, in full precision; accuracies are in per cent."""
    import pandas as pd

    records = [_record(cell, table.against) for cell in table.cells]
    frame = pd.DataFrame(records).astype(
        {"n": "Int64", "published_n": "Int64", "rerun_n": "Int64", "pairs": "Int64", "needs_n": "Int64"}
    )
    return frame.to_csv(index=False, lineterminator="\n")


def _record(cell: Cell, against: str | None) -> dict[str, Any]:
    measured, published, verdict = cell.measured, cell.published, cell.verdict
    low, high = verdict.interval if verdict and verdict.interval else (None, None)
    return {
        "row": cell.row,
        "column": cell.column,
        "metric": cell.metric,
        "setting": spelled(cell.chosen) or None,
        "lam": cell.lam,
        "mean": measured.mean if measured else None,
        "sd": measured.sd if measured else None,
        "n": measured.n if measured else 0,
        "published_mean": published.mean if published else None,
        "published_sd": published.sd if published else None,
        "published_n": published.n if published else None,
        "against": against if verdict else None,
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
    "p": p_text,
}
"""Texts of a cell beyond those of `COMPARISON_COLUMNS`, by their names in templates."""


def page(template: str, **values: Any) -> str:
    """Return the page that a template makes of values, all escaped.

    Templates also have `text`, the functions of `TEXT`, and `columns`, the `COMPARISON_COLUMNS`.
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
    environment.globals["columns"] = COMPARISON_COLUMNS
    return environment


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": paper_text,
    "md": markdown,
    "latex": latex,
    "csv": csv,
    "html": html,
}
"""Every format, by its name on the command line."""
