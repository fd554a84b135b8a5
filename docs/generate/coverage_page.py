"""The page `docs/results/coverage.md`: every published cell of the papers' tables, and what the archives have of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irm_sweeps.analysis.table import Cell, Table
    from irm_sweeps.analysis.table_builder import Builder

PAPERS = ("bae2021", "lin2021")
ARCHIVES = Path("docs/results")

_INTRODUCTION = """\
# Coverage

`make results` writes this page from the archives in `docs/results/` ({archives}). It has every published cell of the
papers' tables, measured by the trials of the paper file: full size, every seed. {measured} of {total} cells have
results. "missing" says that the archives have none, also where another page reports a smaller run, whose trials were
not kept.

The verdicts are those of the tables ([what they mean](../selection_and_statistics.md)). Images are those of a training
environment, where the paper file says how many; else all that the data has. The device is that of the results.
"""
_HEADER = "| row | column | published | measured | verdict | images | precision | device | the command that fills it |"
_RULE = "|---|---|---|---|---|---|---|---|---|"


def page() -> str:
    """Return the page; the working directory is the repository's root."""
    from irm_sweeps.analysis.table_builder import Builder
    from irm_sweeps.sweep.paper import load_paper

    archives = sorted(ARCHIVES.glob("*.zip"))
    parts, published = [], []
    for name in (table for paper in PAPERS for table in load_paper(paper).include if "_table" in table):
        builder = Builder(load_paper(name), archives, None, [])
        table = builder.table()
        cells = [cell for cell in table.cells if cell.published is not None and builder.paper.rows[cell.row].sweep]
        published += cells
        parts.append("\n".join([f"## {table.title}\n", _HEADER, _RULE, *_lines(builder, table), ""]))
    introduction = _INTRODUCTION.format(
        archives=", ".join(f"`{path.name}`" for path in archives),
        measured=sum(cell.measured is not None for cell in published),
        total=len(published),
    )
    return "\n".join([introduction, *parts])


def _lines(builder: Builder, table: Table) -> Iterator[str]:
    """Yield a line for each published cell that is measured by trials."""
    for label, cells in table.rows:
        for cell in cells:
            if cell.published is not None and builder.paper.rows[cell.row].sweep:
                yield f"| {' | '.join(text.replace('|', chr(92) + '|') for text in _texts(builder, label, cell))} |"


def _texts(builder: Builder, label: str, cell: Cell) -> list[str]:
    from irm_sweeps.analysis.cell_text import COMPARISON_COLUMNS, measured_text

    column = next(column for column in builder.paper.columns if column.label == cell.column)
    trials = builder.trials(builder.paper.rows[cell.row], column)
    results = [result for trial_id in trials if (result := builder.results.of(trial_id))]
    configs = [trial.canonical for trial in trials.values()]
    return [
        label,
        cell.column,
        COMPARISON_COLUMNS["published"].text(cell),
        measured_text(cell) + _left_out(cell, len(trials)),
        COMPARISON_COLUMNS["verdict"].text(cell),
        _each(f"{size:,}" if (size := config["dataset"].get("n_train")) else "all" for config in configs),
        _each(config["training"]["precision"] for config in configs),
        _each(result.hardware.device or "unknown" for result in results),
        f"`{builder.command(cell.row)}`",
    ]


def _left_out(cell: Cell, trials: int) -> str:
    """Return of how many trials the mean is, where it is not of all; of several settings it is of one."""
    return f" of {trials}" if cell.measured and cell.settings == 1 and cell.measured.n < trials else ""


def _each(values: Iterator[str]) -> str:
    """Return the distinct values."""
    return ", ".join(dict.fromkeys(values))
