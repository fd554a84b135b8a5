"""A sweep's table in each format: as text and as CSV it has forms of its own, else that of a paper's table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from irm_sweeps.analysis.sweeps.against import against_setting
from irm_sweeps.analysis.sweeps.environment_groups import EnvironmentColumn
from irm_sweeps.analysis.sweeps.rows import SettingRow
from irm_sweeps.analysis.sweeps.table import SweepTable
from irm_sweeps.analysis.sweeps.text import sweep_text
from irm_sweeps.analysis.tables.best_cells import with_bold
from irm_sweeps.analysis.tables.formats import FORMATS
from irm_sweeps.analysis.tables.notes import Note
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.analysis.text_grid import width


def as_table(table: SweepTable) -> Table:
    """Return the table in the form of a paper's: failed, diverged and missing seeds stand beside a setting's name."""
    notes = (Note("not run yet; this trains the rest", table.fill),) if table.fill else ()
    return Table(
        name=table.name,
        title=table.title,
        columns=[column.label for column in table.columns],
        rows=[
            (_label(row), [_cell(row, column, notes if row.states.get("missing") else ()) for column in table.columns])
            for row in table.rows
        ],
        notes=notes,
        footer=table.answer,
        brief=table.answer,
    )


def _label(row: SettingRow) -> str:
    return f"{row.name} ({row.losses})" if row.losses else row.name


def _cell(row: SettingRow, column: EnvironmentColumn, notes: tuple[Note, ...]) -> Cell:
    measured = row.summary(column)
    by_seed = dict(zip(row.seeds.get(column, ()), row.values.get(column, ()), strict=True))
    metric = f"{column.group}/{column.environment or 'mean'}/{row.measure}"
    return Cell(row.name, column.label, metric, measured, None, notes=notes, by_seed=by_seed)


def printed(table: SweepTable, table_format: str, *, details: bool, bold: bool, against: str | None = None) -> str:
    """Return the table in a format, with the best cells of each column bold if asked for.

    With `against` each setting is compared with the one of that name, and the comparison is printed in full.

    Raises
    ------
    UserError
        There is no such setting, or no other.
    """
    if table_format == "csv" and against is None:
        return csv(table)
    general = as_table(table) if against is None else against_setting(as_table(table), against)
    general = with_bold(general) if bold else general
    if against is not None:
        return FORMATS[table_format](general, True)
    if table_format == "text":
        return sweep_text(replace(table, answer=general.footer), width=width(), stars=general.bold)
    return FORMATS[table_format](general, details)


def csv(table: SweepTable) -> str:
    """Return one line for each cell, in full precision; accuracies are in per cent."""
    import pandas as pd

    records = [_record(table, row, column) for row in table.rows for column in table.columns]
    return pd.DataFrame(records).to_csv(index=False, lineterminator="\n")


def _record(table: SweepTable, row: SettingRow, column: EnvironmentColumn) -> dict[str, Any]:
    summary = row.summary(column)
    return {
        "sweep": table.name,
        "setting": row.name,
        "rule": table.rule,
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
        "unreadable": row.states.get("unreadable", 0),
        "unselected": row.states.get("unselected", 0),
        "not_finite": row.states.get("not finite", 0),
    }
