"""A sweep's table as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from irm_sweeps.analysis.environment_groups import Column
from irm_sweeps.analysis.formats import html, markdown
from irm_sweeps.analysis.latex import latex
from irm_sweeps.analysis.notes import Note
from irm_sweeps.analysis.sweep_rows import Row
from irm_sweeps.analysis.sweep_table import SweepTable
from irm_sweeps.analysis.table import Cell, Table
from irm_sweeps.analysis.table_text import sweep_text


def as_table(table: SweepTable) -> Table:
    """Return the table in the form of a paper's: failed, diverged and missing seeds stand beside a setting's name."""
    notes = [Note("not run yet; this trains the rest", table.fill)] if table.fill else []
    return Table(
        name=table.name,
        title=table.title,
        columns=[column.label for column in table.columns],
        rows=[(_label(row), [_cell(row, column) for column in table.columns]) for row in table.rows],
        notes=notes,
        footer=table.answer,
    )


def _label(row: Row) -> str:
    return f"{row.name} ({row.losses})" if row.losses else row.name


def _cell(row: Row, column: Column) -> Cell:
    measured = row.summary(column)
    by_seed = dict(zip(row.seeds.get(column, ()), row.values.get(column, ()), strict=True))
    metric = f"{column.group}/{column.environment or 'mean'}/{row.measure}"
    return Cell(row.name, column.label, metric, measured, None, by_seed=by_seed)


def csv(table: SweepTable) -> str:
    """Return one line for each cell, in full precision; accuracies are in per cent."""
    import pandas as pd

    records = [_record(row, column) for row in table.rows for column in table.columns]
    return pd.DataFrame(records).to_csv(index=False, lineterminator="\n")


def _record(row: Row, column: Column) -> dict[str, Any]:
    summary = row.summary(column)
    return {
        "setting": row.name,
        "group": column.group,
        "environment": column.environment or "mean",
        "measure": row.measure,
        "mean": summary.mean if summary else None,
        "sd": summary.sd if summary else None,
        "n": summary.n if summary else 0,
        "seeds": sum(row.states.values()),
        "failed": row.states.get("failed", 0),
        "diverged": row.states.get("diverged", 0),
        "missing": row.states.get("missing", 0),
    }


FORMATS: dict[str, Callable[[SweepTable], str]] = {
    "text": sweep_text,
    "md": lambda table: markdown(as_table(table)),
    "latex": lambda table: latex(as_table(table)),
    "csv": csv,
    "html": lambda table: html(as_table(table)),
}
"""Every format, by its name on the command line."""
