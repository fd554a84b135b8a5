"""A paper's table from the results in the stores: its trials, its measured cells and the commands that fill it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.analysis.readings import Reading, Results, read
from irm_sweeps.analysis.selection_rules import rule_of
from irm_sweeps.analysis.settings import choose, settings
from irm_sweeps.analysis.statistics.two_means import Summary, summarize
from irm_sweeps.analysis.tables import test_set_error
from irm_sweeps.analysis.tables.footer import measurement_lines, origin_lines
from irm_sweeps.analysis.tables.notes import Note, chosen_on_test, made_by, mixture_notes, setting_note, status_notes
from irm_sweeps.analysis.tables.published import ASSUMED_N, PublishedComparison
from irm_sweeps.analysis.tables.table import Cell, Comparison, Table, adjusted
from irm_sweeps.analysis.tables.unpacked import unpacked_lines
from irm_sweeps.errors import UnknownChoice
from irm_sweeps.sweep.metric import parts
from irm_sweeps.sweep.paper_departures import departures_notes

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Column, Paper, Row
    from irm_sweeps.trial import Trial


class Builder:
    """Measures the cells of a paper's table.

    Parameters
    ----------
    stores
        The stores that are read; commands fill the first.
    select
        Selection rule of all rows; None: the row's, else the paper file's.
    overrides
        Overrides on top of the paper file's.
    results
        The results of the stores, where several builders share them.
    """

    def __init__(
        self,
        paper: Paper,
        stores: Sequence[Path],
        select: str | None,
        overrides: Sequence[str],
        results: Results | None = None,
    ) -> None:
        self.paper, self._file = paper.left_by(overrides), paper
        self.stores = stores
        self.select = select
        self.overrides = overrides
        self.results = results or Results(stores)
        self._trials: dict[tuple[str, ...], Mapping[str, Trial]] = {}

    def with_overrides(self, *more: str) -> Builder:
        """Return what measures the table with more overrides, on the same results."""
        return Builder(self.paper, self.stores, self.select, [*self.overrides, *more], self.results)

    def table(self, comparison: Comparison | None = None) -> Table:
        """Return the table with a verdict in each cell that can be compared, by default with the published cell.

        Raises
        ------
        UserError
            An override is wrong.
        """
        check_choices(self.overrides)
        comparison = comparison or PublishedComparison(self.paper)
        measured = [
            (row.label, [self.cell(name, row, i) for i in range(len(self.paper.columns))])
            for name, row in self.paper.shown.items()
        ]
        rows = adjusted(comparison.compared(measured))
        cells = [cell for _, row_cells in rows for cell in row_cells]
        measurement = list(measurement_lines(self.paper, cells, self.select, self.rules(), self.overrides))
        origin = [
            *origin_lines(self.paper, self._file, self.stores, self.overrides),
            *self._version_lines(),
            *unpacked_lines(self.results, self.trial_ids()),
        ]
        return Table(
            name=comparison.name,
            title=comparison.title,
            columns=[column.label for column in self.paper.columns],
            rows=rows,
            notes=list(dict.fromkeys(note for cell in cells for note in cell.notes)),
            footer=[*measurement, *comparison.footer(rows), *origin],
            comparison_columns=comparison.columns(rows),
            against=comparison.against,
            brief=measurement[:1],
            origin=origin,
            overrides=self.overrides,
        )

    def look_again(self) -> None:
        """Forget what follows from the results; its trials it keeps."""

    def cell(self, name: str, row: Row, index: int) -> Cell:
        """Return the measured cell of a row and the column with this index, without a verdict."""
        column = self.paper.columns[index]
        blank = Cell(name, column.label, column.metric, None, self.published(row, index), rerun=self.rerun(row, index))
        if row.sweep is None:
            return blank
        try:
            trials = self.trials(row, column)
        except UnknownChoice as error:
            note = Note(f"{lacking(error)}; once it has", self.command(name))
            return replace(blank, state="not available", notes=(note,))
        rule = self.rule_for(row, column)
        blank = replace(blank, rule=rule)
        readings = [read(trial, self.results, rule, column.metric) for trial in trials.values()]
        cell = self._measured(blank, rule, readings, row.test_sets(index)[0])
        departs = departures_notes(self.paper.departures(row), self.paper.shared_departures, list(trials.values()))
        return replace(cell, notes=(*cell.notes, *map(Note, departs)))

    def _measured(self, blank: Cell, rule: str, readings: Sequence[Reading], test_set: int | None) -> Cell:
        """Return a cell with the mean of the chosen setting, and with notes on all trials that are not in the mean."""
        command = partial(self.command, blank.row)
        candidates = settings(readings)
        chosen = choose(candidates, rule, blank.metric)
        notes = status_notes(candidates, self.results, rule, blank.metric, command(), command("rerun=failed"))
        if chosen is None:
            return replace(blank, state=_state(readings), settings=len(candidates), notes=tuple(notes))
        if len(candidates) > 1:
            notes.insert(0, setting_note(chosen, candidates, rule))
        notes += mixture_notes(chosen, self.results, command)
        examples, remarks = test_set_error.shared_examples(chosen, test_set)
        scale = 100.0 if parts(blank.metric)[2] == "accuracy" else 1.0
        by_seed = {seed: scale * value for seed, value in chosen.by_seed.items()}
        return replace(
            blank,
            measured=replace(summarize(list(by_seed.values())), examples=examples),
            settings=len(candidates),
            notes=(*notes, *remarks),
            chosen=chosen.differs,
            lam=chosen.readings[0].trial.lam,
            by_seed=by_seed,
            dataset=chosen.readings[0].trial.dataset.target,
            lost=chosen.lost,
            chosen_on_test=len(candidates) > 1 and chosen_on_test(rule),
        )

    def rule_for(self, row: Row, column: Column | None = None) -> str:
        """Return the selection rule of a row, or of its cell in a column."""
        return rule_of(row, self.paper, self.select, _known(self.row_trials, row), column)

    def rules(self) -> dict[str, str]:
        """Return the selection rule of each row that is shown, by its name."""
        return {name: self.rule_for(row) for name, row in self.paper.shown.items()}

    def published(self, row: Row, index: int) -> Summary | None:
        """Return the published cell of a row in a column; None if nothing is published there."""
        cell = row.published[index] if row.published else None
        if cell is None:
            return None
        mean, *sd = cell
        if not sd:
            return Summary(mean, None, None)
        return Summary(mean, sd[0], self.paper.published_n or ASSUMED_N, row.test_sets(index)[1])

    def rerun(self, row: Row, index: int) -> Summary | None:
        """Return what the published code gave when it was run again, for a row in a column; None if it was not."""
        cell = row.rerun.cells[index] if row.rerun else None
        return Summary(cell[0], cell[1] if len(cell) > 1 else None, row.rerun.n) if row.rerun and cell else None

    def trials(self, row: Row, column: Column) -> Mapping[str, Trial]:
        """Return the trials of a cell by id; columns with the same trials compose them once.

        Raises
        ------
        UnknownChoice
            This version lacks something that the row names.
        """
        key = tuple(self.paper.cell_overrides(row, column, self.overrides))
        if key not in self._trials:
            self._trials[key] = self.paper.cell_trials(row, column, self.overrides)
        return self._trials[key]

    def row_trials(self, row: Row) -> dict[str, Trial]:
        """Return the trials of all cells of a row by id.

        Raises
        ------
        UnknownChoice
            This version lacks something that the row names.
        """
        return {i: trial for column in self.paper.columns for i, trial in self.trials(row, column).items()}

    def every_trial(self) -> Iterator[Trial]:
        """Yield all trials that this version can run, those of several cells as often."""
        for row in self.paper.shown.values():
            for column in self.paper.columns if row.sweep is not None else []:
                with contextlib.suppress(UnknownChoice):
                    yield from self.trials(row, column).values()

    def trial_ids(self) -> Iterator[str]:
        """Yield the ids of all trials that this version can run."""
        return (trial.id for trial in self.every_trial())

    def runnable(self) -> tuple[dict[str, dict[str, Trial]], list[str]]:
        """Return the trials of each row that this version can run, by the row's name, and a remark on each other row.

        Raises
        ------
        UserError
            An override is wrong.
        """
        check_choices(self.overrides)
        rows: dict[str, dict[str, Trial]] = {}
        remarks = []
        for name, row in self.paper.shown.items():
            if row.sweep is None:
                continue
            try:
                rows[name] = self.row_trials(row)
            except UnknownChoice as error:
                remarks.append(f"{row.label}: {lacking(error)}")
        return rows, remarks

    def missing(self) -> tuple[list[str], list[str]]:
        """Return the commands that run missing or failed trials, one for each row, and remarks on rows without one."""
        rows, remarks = self.runnable()
        commands = []
        for name, trials in rows.items():
            results = {trial_id: self.results.of(trial_id) for trial_id in trials}
            readable = [result for trial_id, result in results.items() if trial_id not in self.results.unreadable]
            if any(result is not None and result.status == "failed" for result in readable):
                commands.append(self.command(name, "rerun=failed"))
            elif None in readable:
                commands.append(self.command(name))
        return commands, remarks

    def versions(self) -> str:
        """Return `Trials of 2 versions of irm_sweeps (...)` if the trials were made by several; empty if by one."""
        return made_by(self.results, self.trial_ids())

    def _version_lines(self) -> Iterator[str]:
        if versions := self.versions():
            yield f"{versions}: rerun=changed runs those again that this one has not made."

    def command(self, row: str, *more: str) -> str:
        """Return the command that runs a row's missing trials into the first store."""
        return self.paper.command(row, [*overrides_into(folder_to_fill(self.stores), self.overrides), *more])


def _known(trials_of: Callable[[Row], Mapping[str, Trial]], row: Row) -> Iterator[Trial]:
    """Yield the trials of a row; none if it has none or this version lacks something that it names."""
    if row.sweep is not None:
        with contextlib.suppress(UnknownChoice):
            yield from trials_of(row).values()


def _state(readings: Sequence[Reading]) -> str:
    """Return why a cell has no mean, in the words that the cell prints."""
    statuses = {reading.status for reading in readings}
    if "measured" in statuses:
        return "no complete setting"
    if statuses == {"unselected"}:
        return "not selected"
    return next((status for status in ("missing", "diverged", "failed") if statuses == {status}), "no value")


def lacking(error: UnknownChoice) -> str:
    """Return what this version lacks, e.g. `this version has no method=mine`."""
    return f"this version has no {str(error).partition(':')[0]}"


def check_choices(overrides: Sequence[str]) -> None:
    """Compose the overrides that choose a component or set a top-level key, so that a typo there is an error.

    Without this check a row would count as one that this version cannot run. Overrides of fields (`method.anneal=10`)
    are not checked here: which fields exist depends on the choices of each row.

    Raises
    ------
    UserError
        An override is wrong.
    """
    from irm_sweeps.overrides.paired_axes import members
    from irm_sweeps.sweep.grid import expand, is_group

    axes = {axis: axis.partition("=")[0] for override in overrides for axis in members(override)}
    if choices := [axis for axis, key in axes.items() if is_group(key) or "." not in key]:
        next(expand(choices))
