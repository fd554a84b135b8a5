"""A table as Markdown, CSV and HTML; LaTeX has its own file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from irm_sweeps.analysis.cell_text import KINDS, measured_text, p_text
from irm_sweeps.analysis.latex import latex
from irm_sweeps.analysis.notes import Note, spelled
from irm_sweeps.analysis.table import Cell, Table


def markdown(table: Table) -> str:
    """Return a GitHub table, aligned so that it reads as plain text too."""
    beside = [KINDS[name] for name in table.beside]
    header = [""]
    for column in table.columns:
        header += [column, *(kind.heading for kind in beside)]
    lines = [header]
    for label, cells in table.rows:
        lines.append([label])
        for cell in cells:
            numbers = "".join(f" [{table.notes.index(note) + 1}]" for note in cell.notes)
            lines[-1] += [measured_text(cell) + numbers, *(kind.text(cell) for kind in beside)]
    lines = [[_no_tag(text).replace("|", "\\|") for text in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def joined(line: Sequence[str]) -> str:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    parts = [f"**{_no_tag(table.title)}**", "\n".join([joined(lines[0]), rule, *map(joined, lines[1:])])]
    if table.notes:
        parts.append("\n".join(f"- [{i}] {_no_tag(_sentence(note))}" for i, note in enumerate(table.notes, 1)))
    parts.append("\n".join(f"- {_no_tag(line)}" for line in table.footer))
    return "\n\n".join(parts) + "\n"


def _no_tag(text: str) -> str:
    """Return text in which no HTML begins: Markdown would hand it to the browser; `p < alpha` stays as it is."""
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)


def csv(table: Table) -> str:
    """Return one line a cell, in full precision; accuracies are in per cent."""
    import pandas as pd

    records = [
        {
            "row": cell.row,
            "column": cell.column,
            "metric": cell.metric,
            "setting": spelled(cell.chosen) or None,
            "lam": cell.lam,
            "mean": cell.measured.mean if cell.measured else None,
            "sd": cell.measured.sd if cell.measured else None,
            "n": cell.measured.n if cell.measured else 0,
            "published_mean": cell.published.mean if cell.published else None,
            "published_sd": cell.published.sd if cell.published else None,
            "published_n": cell.published.n if cell.published else None,
            "against": table.against if cell.verdict else None,
            "pairs": cell.verdict.pairs if cell.verdict else None,
            "difference": cell.verdict.difference if cell.verdict else None,
            "difference_low": cell.verdict.interval[0] if cell.verdict and cell.verdict.interval else None,
            "difference_high": cell.verdict.interval[1] if cell.verdict and cell.verdict.interval else None,
            "p_value": cell.verdict.p if cell.verdict else None,
            "p_holm": cell.verdict.p_holm if cell.verdict else None,
            "verdict": cell.verdict.word if cell.verdict else None,
            "note": "; ".join(note.text for note in cell.notes) or None,
            "command": "; ".join(note.command for note in cell.notes if note.command) or None,
        }
        for cell in table.cells
    ]
    frame = pd.DataFrame(records).astype({"n": "Int64", "published_n": "Int64", "pairs": "Int64"})
    return frame.to_csv(index=False, lineterminator="\n")


def html(table: Table) -> str:
    """Return a page that needs nothing else."""
    return page("table.html", table=table)


def page(template: str, **values: Any) -> str:
    """Return a page made of a template, in which everything is escaped.

    `text` makes words of a cell, and `kinds` those that may stand beside a measured value.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["kinds"] = KINDS
    return environment.get_template(template).render(text=TEXT, **values) + "\n"


TEXT: dict[str, Callable[[Cell], str]] = {
    "measured": measured_text,
    "p": p_text,
}
"""The words of a cell that stand in none of `KINDS`, by the name that templates use."""


def _sentence(note: Note) -> str:
    return f"{note.text}: `{note.command}`" if note.command else note.text


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "latex": latex, "csv": csv, "html": html}
"""Every format, by the name it has on the command line."""
