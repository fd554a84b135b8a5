"""From a paper's file and a store to a table: each cell measured, with notes on what it lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis import selection_rules, test_set_error
from irm_sweeps.analysis.notes import Note, mixture_notes, setting_note, status_notes
from irm_sweeps.analysis.options import filling
from irm_sweeps.analysis.published import Published
from irm_sweeps.analysis.readings import Results, choose, read, settings
from irm_sweeps.analysis.statistics import Summary, summarize
from irm_sweeps.analysis.table import Cell, Comparison, Table, adjusted
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Column, Paper, Row
    from irm_sweeps.trial import Trial


@dataclass
class Builder:
    """Measures a paper's cells.

    Parameters
    ----------
    stores
        Where to look; commands fill the first.
    rule
        Selection rule of all rows; None: the paper file's, and a row's own where it has one.
    user
        Overrides on top of the paper's.
    shared
        What is read of the stores, where several builders share it.
    """

    paper: Paper
    stores: Sequence[Path]
    rule: str | None
    user: Sequence[str]
    shared: InitVar[Results | None] = None

    def rule_for(self, row: Row) -> str:
        """Return the selection rule of a row."""
        return self.rule or row.select or self.paper.select

    def __post_init__(self, shared: Results | None) -> None:
        self.results = shared or Results(self.stores)
        self._trials: dict[tuple[str, ...], Mapping[str, Trial]] = {}

    def table(self, comparison: Comparison | None = None) -> Table:
        """Return the whole table, by default compared with what is published."""
        check_choices(self.user)
        comparison = comparison or Published(self.paper)
        measured = [
            (row.label, [self.cell(name, row, i) for i in range(len(self.paper.columns))])
            for name, row in self.paper.shown.items()
        ]
        rows = adjusted(comparison.compared(measured))
        cells = [cell for _, own in rows for cell in own]
        return Table(
            name=comparison.name,
            title=comparison.title,
            columns=[column.label for column in self.paper.columns],
            rows=rows,
            notes=list(dict.fromkeys(note for cell in cells for note in cell.notes)),
            footer=[*self._how_measured(cells), *comparison.footer(rows), *self._where_from()],
            beside=comparison.beside(rows),
            against=comparison.against,
        )

    def cell(self, name: str, row: Row, index: int) -> Cell:
        """Measure one cell, and compare it with nothing yet."""
        from irm_sweeps.errors import UnknownChoice

        column = self.paper.columns[index]
        scale = 100.0 if parts(column.metric)[2] == "accuracy" else 1.0
        published = self.published(row, index)
        empty = partial(Cell, name, column.label, column.metric, None, published)
        if row.sweep is None:
            return empty()
        try:
            trials = self.trials(row, column)
        except UnknownChoice as error:
            lacking = str(error).partition(":")[0]
            note = Note(f"this version has no {lacking}; once it has", self.command(name))
            return empty(state="not available", notes=(note,))

        rule = self.rule_for(row)
        readings = [read(trial, self.results, rule, column.metric) for trial in trials.values()]
        candidates = settings(readings)
        n = len(candidates)
        chosen = choose(candidates, rule, column.metric)
        fill, rerun = self.command(name), self.command(name, "rerun=failed")
        notes = status_notes(candidates, rule, column.metric, fill, rerun)
        if chosen is None:
            statuses = {reading.status for reading in readings}
            state = next((s for s in ("missing", "diverged", "failed") if statuses == {s}), "no value")
            return empty(state=state, settings=n, notes=tuple(notes))
        if n > 1:
            notes.insert(0, setting_note(chosen, candidates, rule))
        notes += mixture_notes(chosen, self.results, partial(self.command, name))
        examples, remarks = test_set_error.examples(chosen, row.test_sets(index)[0])
        notes += remarks
        by_seed = {seed: scale * value for seed, value in chosen.by_seed.items()}
        return Cell(
            name,
            column.label,
            column.metric,
            replace(summarize(list(by_seed.values())), examples=examples),
            published,
            settings=n,
            notes=tuple(notes),
            chosen=chosen.differs,
            lam=chosen.readings[0].trial.lam,
            by_seed=by_seed,
        )

    def runnable(self) -> tuple[dict[str, dict[str, Trial]], list[str]]:
        """Return the trials of each row that has some, by the row's name, and what is said of rows that cannot be."""
        from irm_sweeps.errors import UnknownChoice

        check_choices(self.user)
        rows: dict[str, dict[str, Trial]] = {}
        hopeless = []
        for name, row in self.paper.shown.items():
            if row.sweep is None:
                continue
            try:
                rows[name] = {
                    i: trial for column in self.paper.columns for i, trial in self.trials(row, column).items()
                }
            except UnknownChoice as error:
                hopeless.append(f"{row.label}: this version has no {str(error).partition(':')[0]}")
        return rows, hopeless

    def missing(self) -> tuple[list[str], list[str]]:
        """Return the commands that fill what is missing or failed, one a row, and the rows that none can fill."""
        rows, hopeless = self.runnable()
        commands = []
        for name, every in rows.items():
            looked = [(trial_id, self.results.of(trial_id)) for trial_id in every]
            found = [result for trial_id, result in looked if trial_id not in self.results.unreadable]
            if any(result is not None and result.status == "failed" for result in found):
                commands.append(self.command(name, "rerun=failed"))
            elif None in found:
                commands.append(self.command(name))
        return commands, hopeless

    def every_trial(self) -> Iterator[str]:
        """Yield the ids of the trials of all rows that this version can run."""
        from irm_sweeps.errors import UnknownChoice

        for row in self.paper.shown.values():
            for column in self.paper.columns if row.sweep is not None else []:
                with contextlib.suppress(UnknownChoice):
                    yield from self.trials(row, column)

    def trials(self, row: Row, column: Column) -> Mapping[str, Trial]:
        """Return the trials of a cell; columns that share theirs share the work."""
        key = tuple(self.paper.cell_overrides(row, column, self.user))
        if key not in self._trials:
            self._trials[key] = self.paper.cell_trials(row, column, self.user)
        return self._trials[key]

    def command(self, row: str, *more: str) -> str:
        """Return the command that fills what a row is missing in the first store."""
        return self.paper.command(row, [*filling(self.stores[0], self.user), *more])

    def published(self, row: Row, index: int) -> Summary | None:
        """Return the published cell of a column, if there is one."""
        cell = row.published[index] if row.published else None
        if cell is None:
            return None
        mean, *sd = cell
        return (
            Summary(mean, sd[0], self.paper.published_n, row.test_sets(index)[1]) if sd else Summary(mean, None, None)
        )

    def _how_measured(self, cells: Sequence[Cell]) -> Iterator[str]:
        percent = {cell.metric.endswith("/accuracy") for cell in cells}
        unit = ", accuracies in %" if len(percent) == 2 else ", in %" if True in percent else ""
        yield (f"Measured: mean ± sample standard deviation (ddof 1){unit}; n trials differ only in the seed.")
        rule = self.rule or self.paper.select
        yield (
            f"Selection rule {rule}: each trial is scored {selection_rules.STEPS[rule]}."
            + ("" if rule == self.paper.select else f" The paper file's rule is {self.paper.select}.")
        )
        own = {row.label: row.select for row in self.paper.shown.values() if row.select not in (None, rule)}
        if self.rule is None and own:
            for label, other in own.items():
                yield f"Row {label} has selection rule {other}: {selection_rules.STEPS[str(other)]}."
        yield from self._penalty_weights(cells)
        yield from self._how_chosen(cells)
        if told := test_set_error.drawn_anew(self.paper.shown.values(), self.user):
            yield told

    def _penalty_weights(self, cells: Sequence[Cell]) -> Iterator[str]:
        """Say each row's weight, and in which columns where it is not the same in all."""
        own: dict[str, dict[float, list[str]]] = {}
        for cell in cells:
            if cell.lam is not None and "lam" not in cell.chosen:
                own.setdefault(cell.row, {}).setdefault(cell.lam, []).append(f'"{cell.column}"')
        chosen = {cell.row for cell in cells if "lam" in cell.chosen}
        same: list[str] = []
        by_column: dict[str, list[str]] = {}
        for row, lams in own.items():
            label = self.paper.rows[row].label
            if len(lams) == 1 and row not in chosen:
                same.append(f"{label} {next(iter(lams)):g}")
            else:
                told = "; ".join(f"{lam:g} in {', '.join(columns)}" for lam, columns in lams.items())
                by_column.setdefault(told, []).append(label)
        if same:
            yield f"Penalty weight lam: {', '.join(same)}."
        for told, labels in by_column.items():
            yield f"Penalty weight lam of {'; '.join(labels)}: {told}."

    def _how_chosen(self, cells: Sequence[Cell]) -> Iterator[str]:
        """Say how one of several settings is chosen, once for all rows where it is done alike."""
        rows: dict[str, dict[str, None]] = {}
        for cell in cells:
            if cell.settings > 1:
                row = self.paper.rows[cell.row]
                rows.setdefault(selection_rules.SETTINGS[self.rule_for(row)], {})[row.label] = None
        for best, labels in rows.items():
            whose = f" of {', '.join(labels)}" if len(rows) > 1 else ""
            settings = f"Of several hyperparameter settings{whose}{selection_rules.USABLE}"
            yield f"{settings}, a cell shows the one with {best}."

    def _where_from(self) -> Iterator[str]:
        if self.paper.only:
            yield f"Rows shown: {', '.join(self.paper.shown)}."
        if self.user:
            yield f"Overrides on top of the paper file: {' '.join(self.user)}."
        yield f"Results from: {', '.join(map(str, self.stores))}."


def check_choices(user: Sequence[str]) -> None:
    """Compose the user's own choices once: a typo in them is an error, not a row that cannot be run.

    Fields of a choice (`method.anneal=10`) are left to the rows: which there are depends on the row's choices.
    """
    from irm_sweeps.sweep.grid import expand, is_group

    if choices := [o for o in user if is_group(o.partition("=")[0]) or "." not in o.partition("=")[0]]:
        next(expand(choices))
