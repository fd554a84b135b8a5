"""A paper's table with its measured cells, verdicts and notes, before it takes any format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rules
from command_line import filling
from measured import Results, choose, parts, read, settings
from notes import Note, setting_note, status_notes
from verdict import ALPHA, FEWEST, Summary, Verdict, compare, holm, summarize

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Column, Paper, Row
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Cell:
    """One cell. Means and sds are in the unit that is printed: per cent for accuracies.

    Attributes
    ----------
    state
        What is printed where nothing is measured: `missing`, `diverged`, ...; empty for a row that has
        nothing to measure.
    settings
        Number of hyperparameter settings among the cell's trials; the mean is of one.
    chosen
        What sets that one apart from the others: config keys and values.
    lam
        Its penalty weight; None where the method has none or nothing is measured.
    """

    row: str
    column: str
    metric: str
    measured: Summary | None
    published: Summary | None
    verdict: Verdict | None
    state: str = ""
    settings: int = 1
    notes: tuple[Note, ...] = ()
    chosen: Mapping[str, Any] = field(default_factory=dict)
    lam: float | None = None

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        return 1 if self.metric.endswith("/accuracy") else 3


@dataclass(frozen=True)
class Table:
    """A whole table.

    Attributes
    ----------
    rows
        Label and cells of each row.
    notes
        Every distinct note of the cells, in order of appearance; a cell refers to `notes.index(note) + 1`.
    footer
        How the numbers were made.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    notes: Sequence[Note]
    footer: Sequence[str]

    @property
    def cells(self) -> Iterator[Cell]:
        """All cells, row by row."""
        for _, cells in self.rows:
            yield from cells

    @property
    def compared(self) -> bool:
        """Whether anything is published beside the measured values."""
        return any(cell.published for cell in self.cells)


def adjusted(rows: Sequence[tuple[str, Sequence[Cell]]]) -> list[tuple[str, list[Cell]]]:
    """Return the rows with the p-values adjusted for all tests among them."""
    tested = [cell.verdict.p for _, cells in rows for cell in cells if cell.verdict and cell.verdict.p is not None]
    left = iter(holm(tested))

    def one(cell: Cell) -> Cell:
        if cell.verdict is None or cell.verdict.p is None:
            return cell
        return replace(cell, verdict=replace(cell.verdict, p_holm=next(left)))

    return [(label, [one(cell) for cell in cells]) for label, cells in rows]


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

    def table(self) -> Table:
        """Return the whole table."""
        self.check_user()
        rows = [
            (row.label, [self.cell(name, row, i) for i in range(len(self.paper.columns))])
            for name, row in self.paper.rows.items()
        ]
        rows = adjusted(rows)
        cells = [cell for _, own in rows for cell in own]
        return Table(
            name=self.paper.name,
            title=self.paper.title,
            columns=[column.label for column in self.paper.columns],
            rows=rows,
            notes=list(dict.fromkeys(note for cell in cells for note in cell.notes)),
            footer=list(self._footer(cells)),
        )

    def check_user(self) -> None:
        """Compose the user's own choices once: a typo in them is an error, not a row that cannot be run."""
        from irm_sweeps.sweep.grid import expand, is_group

        if choices := [o for o in self.user if is_group(o.partition("=")[0]) or "." not in o.partition("=")[0]]:
            next(expand(choices))

    def cell(self, name: str, row: Row, index: int) -> Cell:
        """Measure one cell."""
        from irm_sweeps.errors import UnknownChoice

        column = self.paper.columns[index]
        scale = 100.0 if parts(column.metric)[2] == "accuracy" else 1.0
        published = self.published(row, index)
        empty = partial(Cell, name, column.label, column.metric, None, published, None)
        if row.sweep is None:
            return empty()
        try:
            trials = self.trials(row, column)
        except UnknownChoice as error:
            lacking = str(error).partition(":")[0]
            note = Note(f"this version has no {lacking}; once it has", self.command(name))
            return empty("not available", notes=(note,))

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
            return empty(state, n, tuple(notes))
        if n > 1:
            notes.insert(0, setting_note(chosen, candidates, rule))
        own = summarize([scale * value for value in chosen.values])
        verdict = compare(own, published) if published else None
        lam = chosen.readings[0].trial.lam
        said = (verdict, "", n, tuple(notes), chosen.differs, lam)
        return Cell(name, column.label, column.metric, own, published, *said)

    def runnable(self) -> tuple[dict[str, dict[str, Trial]], list[str]]:
        """Return the trials of each row that has some, by the row's name, and what is said of rows that cannot be."""
        from irm_sweeps.errors import UnknownChoice

        self.check_user()
        rows: dict[str, dict[str, Trial]] = {}
        hopeless = []
        for name, row in self.paper.rows.items():
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
            found = [self.results.of(trial_id) for trial_id in every]
            if any(result is not None and result["status"] == "failed" for result in found):
                commands.append(self.command(name, "rerun=failed"))
            elif None in found:
                commands.append(self.command(name))
        return commands, hopeless

    def every_trial(self) -> Iterator[str]:
        """Yield the ids of the trials of all rows that this version can run."""
        from irm_sweeps.errors import UnknownChoice

        for row in self.paper.rows.values():
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
        return Summary(mean, sd[0], self.paper.published_n) if sd else Summary(mean, None, None)

    def _footer(self, cells: Sequence[Cell]) -> Iterator[str]:
        percent = {cell.metric.endswith("/accuracy") for cell in cells}
        unit = ", accuracies in %" if len(percent) == 2 else ", in %" if True in percent else ""
        yield (f"Measured: mean ± sample standard deviation (ddof 1){unit}; n trials differ only in the seed.")
        rule = self.rule or self.paper.select
        yield (
            f"Selection rule {rule}: each trial is scored {rules.STEPS[rule]}."
            + ("" if rule == self.paper.select else f" The paper file's rule is {self.paper.select}.")
        )
        own = {row.label: row.select for row in self.paper.rows.values() if row.select not in (None, rule)}
        if self.rule is None and own:
            for label, other in own.items():
                yield f"Row {label} has selection rule {other}: {rules.STEPS[str(other)]}."
        if lams := {cell.row: cell.lam for cell in cells if cell.lam is not None and "lam" not in cell.chosen}:
            labels = {name: row.label for name, row in self.paper.rows.items()}
            yield f"Penalty weight lam: {', '.join(f'{labels[row]} {lam:g}' for row, lam in lams.items())}."
        if any(cell.settings > 1 for cell in cells):
            yield f"Of several hyperparameter settings a cell shows the one with {rules.SETTINGS[rule]}."
        if any(cell.published for cell in cells):
            n = self.paper.published_n
            meaning = f"; ± is taken as a sample standard deviation over n = {n} trials" if n else ""
            yield f"Published: {self.paper.source}{meaning}."
            yield f"Difference: measured minus published, with Welch's {100 * (1 - ALPHA):g} % confidence interval."
            yield (
                "Verdict: two-sided Welch's t-test of measured against published mean, from mean, sd and n; "
                f"alpha = {ALPHA:g}: consistent (p >= alpha) or differs (p < alpha). "
                f"Too few seeds: n < {FEWEST}, or published without ± or n."
            )
            if told := multiple_comparisons(cells):
                yield told
        if self.user:
            yield f"Overrides on top of the paper file: {' '.join(self.user)}."
        yield f"Results from: {', '.join(map(str, self.stores))}."


def multiple_comparisons(cells: Iterable[Cell]) -> str:
    """Say how many false alarms to expect among the verdicts, and what is left after Holm's correction."""
    verdicts = [cell.verdict for cell in cells if cell.verdict and cell.verdict.p is not None]
    k, differ = len(verdicts), sum(verdict.word == "differs" for verdict in verdicts)
    if not k:
        return ""
    left = sum((verdict.p_holm or 0.0) < ALPHA for verdict in verdicts)
    return (
        f"Multiple comparisons: {k} tests, uncorrected; if measured and published agreed everywhere, {ALPHA * k:.2g} "
        f"of them would still say differs, on average. {differ} do; {left} with Holm's correction for the {k} tests."
    )
