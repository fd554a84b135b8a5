"""The lines under a table that say how its numbers were measured and which results they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.selection_rules import SETTINGS, STEPS, USABLE
from irm_sweeps.analysis.tables import test_set_error
from irm_sweeps.analysis.tables.table import Cell
from irm_sweeps.sweep import typed_columns

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper


def measurement_lines(
    paper: Paper, cells: Sequence[Cell], select: str | None, rules: Mapping[str, str], overrides: Sequence[str]
) -> Iterator[str]:
    """Yield the lines on units, selection rules, penalty weights, chosen settings and the test sets.

    Parameters
    ----------
    select
        Selection rule of all rows; None: those of the paper file.
    rules
        Selection rule of each row, by its name.
    overrides
        Overrides on top of the paper file's.
    """
    yield f"Measured: mean ± sample standard deviation (ddof 1){_unit(cells)}; n trials differ only in the seed."
    yield from _selection_rules(paper, select, rules)
    yield from _penalty_weights(paper, cells)
    yield from _setting_choices(paper, cells, select, rules)
    if line := test_set_error.redrawn(paper.shown.values(), overrides):
        yield line


def origin_lines(paper: Paper, file: Paper, stores: Sequence[Path], overrides: Sequence[str]) -> Iterator[str]:
    """Yield the lines on the rows shown, the overrides, the columns they leave of the file's, and the stores."""
    if paper.only:
        yield f"Rows shown: {', '.join(paper.shown)}."
    if overrides:
        yield f"Overrides on top of the paper file: {' '.join(overrides)}."
    if len(paper.columns) < len(file.columns):
        yield f"Columns left by the overrides: {'; '.join(column.label for column in paper.columns)}."
    if others := list(typed_columns.replaced(paper.columns, overrides)):
        yield f"Replaced, of what the columns' labels may stand for: {', '.join(others)}."
    yield f"Results from: {', '.join(map(str, stores))}."


def _unit(cells: Sequence[Cell]) -> str:
    in_percent = {cell.metric.endswith("/accuracy") for cell in cells}
    if in_percent == {True, False}:
        return ", accuracies in %"
    return ", in %" if True in in_percent else ""


def _selection_rules(paper: Paper, select: str | None, rules: Mapping[str, str]) -> Iterator[str]:
    rule = select or paper.select or next(iter(rules.values()), "last")
    replaced = f" The paper file's rule is {paper.select}." if paper.select not in (rule, None) else ""
    yield f"Selection rule {rule}: each trial is scored {STEPS[rule]}.{replaced}"
    for name, row_rule in rules.items():
        if row_rule != rule:
            yield f"Row {paper.rows[name].label} has selection rule {row_rule}: {STEPS[row_rule]}."
    for column in paper.columns:
        if column.select and not select:
            yield f"Column {column.label} has selection rule {column.select}: {STEPS[column.select]}."


def _penalty_weights(paper: Paper, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the penalty weight of each row, with its columns where the weight is not the same in all."""
    columns_by_lam: dict[str, dict[float, list[str]]] = {}
    for cell in cells:
        if cell.lam is not None and "lam" not in cell.chosen:
            columns_by_lam.setdefault(cell.row, {}).setdefault(cell.lam, []).append(f'"{cell.column}"')
    rows_that_choose_lam = {cell.row for cell in cells if "lam" in cell.chosen}
    constant: list[str] = []
    varying: dict[str, list[str]] = {}
    for row, lams in columns_by_lam.items():
        label = paper.rows[row].label
        if len(lams) == 1 and row not in rows_that_choose_lam:
            constant.append(f"{label} {next(iter(lams)):g}")
        else:
            by_column = "; ".join(f"{lam:g} in {', '.join(columns)}" for lam, columns in lams.items())
            varying.setdefault(by_column, []).append(label)
    if constant:
        yield f"Penalty weight lam: {', '.join(constant)}."
    for by_column, labels in varying.items():
        yield f"Penalty weight lam of {'; '.join(labels)}: {by_column}."


def _setting_choices(
    paper: Paper, cells: Sequence[Cell], select: str | None, rules: Mapping[str, str]
) -> Iterator[str]:
    """Yield how one of several settings is chosen: one line for all rows that choose alike."""
    labels_by_choice: dict[str, dict[str, None]] = {}
    of_columns = {} if select else {column.label: column.select for column in paper.columns}
    for cell in cells:
        if cell.settings > 1:
            own = of_columns.get(cell.column)
            name = f"column {cell.column}" if own else paper.rows[cell.row].label
            labels_by_choice.setdefault(SETTINGS[own or rules[cell.row]], {})[name] = None
    for choice, labels in labels_by_choice.items():
        rows = f" of {', '.join(labels)}" if len(labels_by_choice) > 1 else ""
        yield f"Of several hyperparameter settings{rows}{USABLE}, a cell shows the one with {choice}."
