"""A table in no format yet: its cells, what they are compared with, and the correction for many tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from irm_sweeps.analysis.statistics.two_means import Summary, Verdict, holm
from irm_sweeps.analysis.tables.notes import Note


@dataclass(frozen=True)
class Cell:
    """One cell. Values, means and standard deviations are in the printed unit: per cent for accuracies.

    Attributes
    ----------
    verdict
        Result of the comparison; None if there is nothing to compare, or before the comparison.
    state
        What the cell prints instead of a mean: `missing`, `diverged`, ...; empty for a row without trials.
    settings
        Number of hyperparameter settings among the cell's trials; the mean is over the trials of one.
    chosen
        The config keys in which these settings differ, with the values of the chosen one.
    lam
        Penalty weight of the chosen setting; None if the method has none or nothing is measured.
    by_seed
        The values that the mean is over, by seed.
    dataset
        Import path of the class of the data set that these seeds draw from; empty if nothing is measured.
    chosen_on_test
        Whether the setting was chosen by the cell's own metric.
    lost
        Number of seeds that have run and have no value.
    rule
        Selection rule of its trials; empty without trials.
    rerun
        What the published code gave when it was run again.
    rerun_verdict
        Result of the comparison with `rerun`.
    """

    row: str
    column: str
    metric: str
    measured: Summary | None
    published: Summary | None
    verdict: Verdict | None = None
    state: str = ""
    settings: int = 1
    notes: tuple[Note, ...] = ()
    chosen: Mapping[str, Any] = field(default_factory=dict)
    lam: float | None = None
    by_seed: Mapping[int, float] = field(default_factory=dict)
    dataset: str = ""
    chosen_on_test: bool = False
    lost: int = 0
    rule: str = ""
    rerun: Summary | None = None
    rerun_verdict: Verdict | None = None

    @property
    def decimals(self) -> int:
        """Number of printed digits after the point."""
        return 1 if self.metric.endswith("/accuracy") else 3


Rows = Sequence[tuple[str, Sequence[Cell]]]
"""The label and the cells of each row."""


class Comparison(Protocol):
    """What the cells of a table are compared with."""

    @property
    def against(self) -> str | None:
        """Name of the row that all others are compared with; None: each cell is compared with its published cell."""

    @property
    def name(self) -> str:
        """Name of the table with this comparison."""

    @property
    def title(self) -> str:
        """Caption of the table."""

    def compared(self, rows: Rows) -> Rows:
        """Return the rows with a verdict in each cell that can be compared, their p-values unadjusted."""

    def columns(self, rows: Rows) -> Sequence[str]:
        """Return what the table prints of the comparison: names in `cell_text.COMPARISON_COLUMNS`."""

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield the lines that say how the comparison is made."""


@dataclass(frozen=True)
class Table:
    """A whole table.

    Attributes
    ----------
    notes
        The distinct notes of the cells, in order of appearance.
    footer
        The lines that say how the numbers were made.
    comparison_columns
        What the table prints of the comparison: names in `cell_text.COMPARISON_COLUMNS`.
    against
        Name of the row that all others are compared with; None: each cell is compared with its published cell.
    brief
        Those lines of the footer that are printed where there is room for few.
    origin
        Those lines of the footer that name places of this machine, and so are not for print.
    overrides
        Overrides of the trials on top of the paper file's.
    bold
        Row and column of each cell that is printed bold.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Rows
    notes: Sequence[Note]
    footer: Sequence[str]
    comparison_columns: Sequence[str] = ()
    against: str | None = None
    brief: Sequence[str] = ()
    origin: Sequence[str] = ()
    overrides: Sequence[str] = ()
    bold: Collection[tuple[str, str]] = ()

    @property
    def compared_rows(self) -> Rows:
        """The rows that are measured, or published with a spread."""
        return [(label, cells) for label, cells in self.rows if not is_theoretical(cells)]

    @property
    def theoretical_rows(self) -> Rows:
        """The other rows: those for which `is_theoretical`."""
        return [(label, cells) for label, cells in self.rows if is_theoretical(cells)]

    @property
    def cells(self) -> Iterator[Cell]:
        """All cells, row by row."""
        for _, cells in self.rows:
            yield from cells

    def note_numbers(self, cell: Cell, cells: Sequence[Cell] = ()) -> list[int]:
        """Return the numbers, from 1, of a cell's notes, without those of its whole row where `cells` is given."""
        of_row = self.row_note_numbers(cells)
        return sorted(number for note in cell.notes if (number := self.notes.index(note) + 1) not in of_row)

    def row_note_numbers(self, cells: Sequence[Cell]) -> list[int]:
        """Return the numbers of the notes on a whole row: of several cells, all measured, each of which has them."""
        if len(cells) < 2 or not all(cell.measured for cell in cells):
            return []
        shared = [note for note in cells[0].notes if all(note in cell.notes for cell in cells)]
        return [self.notes.index(note) + 1 for note in shared]


def is_theoretical(cells: Sequence[Cell]) -> bool:
    """Return whether a row has no trials and values without spread: chance level, optimum."""
    return bool(cells) and all(
        cell.measured is None and not cell.state and cell.published is not None and cell.published.sd is None
        for cell in cells
    )


def adjusted(rows: Rows) -> Rows:
    """Return the rows with Holm's adjusted p-values over all their tests."""
    tested = [cell.verdict.p for _, cells in rows for cell in cells if cell.verdict and cell.verdict.p is not None]
    adjusted_p = iter(holm(tested))

    def with_adjusted_p(cell: Cell) -> Cell:
        if cell.verdict is None or cell.verdict.p is None:
            return cell
        return replace(cell, verdict=replace(cell.verdict, p_holm=next(adjusted_p)))

    return [(label, [with_adjusted_p(cell) for cell in cells]) for label, cells in rows]
