"""A table of cells, measured and compared with something, before it takes any format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from irm_sweeps.analysis.notes import Note
from irm_sweeps.analysis.statistics import Summary, Verdict, holm


@dataclass(frozen=True)
class Cell:
    """One cell. Values, means and sds are in the unit that is printed: per cent for accuracies.

    Attributes
    ----------
    verdict
        What the comparison says; None: nothing to compare, or not compared yet.
    state
        What is printed where nothing is measured: `missing`, `diverged`, ...; empty for a row that has
        nothing to measure.
    settings
        Number of hyperparameter settings among the cell's trials; the mean is of one.
    chosen
        What sets that one apart from the others: config keys and values.
    lam
        Its penalty weight; None where the method has none or nothing is measured.
    by_seed
        The measured values behind the mean.
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

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        return 1 if self.metric.endswith("/accuracy") else 3


Rows = Sequence[tuple[str, Sequence[Cell]]]
"""Label and cells of each row."""


class Comparison(Protocol):
    """What the cells of a table are compared with."""

    @property
    def against(self) -> str | None:
        """Name of the row that all others are compared with; None: each cell has its published one."""

    @property
    def name(self) -> str:
        """Name of the table that makes this comparison."""

    @property
    def title(self) -> str:
        """Its caption."""

    def compared(self, rows: Rows) -> Rows:
        """Return the rows with a verdict in each cell that can be compared, their p-values unadjusted."""

    def beside(self, rows: Rows) -> Sequence[str]:
        """Return what stands beside each measured value: names in `cell_text.KINDS`."""

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield how the comparison is made."""


@dataclass(frozen=True)
class Table:
    """A whole table.

    Attributes
    ----------
    beside
        What stands beside each measured value: names in `cell_text.KINDS`.
    against
        Name of the row that the others are compared with; None: each cell has its published one.
    notes
        Every distinct note of the cells, in order of appearance; a cell refers to `notes.index(note) + 1`.
    footer
        How the numbers were made.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Rows
    notes: Sequence[Note]
    footer: Sequence[str]
    beside: Sequence[str] = ()
    against: str | None = None

    @property
    def cells(self) -> Iterator[Cell]:
        """All cells, row by row."""
        for _, cells in self.rows:
            yield from cells


def adjusted(rows: Rows) -> Rows:
    """Return the rows with the p-values adjusted for all tests among them."""
    tested = [cell.verdict.p for _, cells in rows for cell in cells if cell.verdict and cell.verdict.p is not None]
    left = iter(holm(tested))

    def one(cell: Cell) -> Cell:
        if cell.verdict is None or cell.verdict.p is None:
            return cell
        return replace(cell, verdict=replace(cell.verdict, p_holm=next(left)))

    return [(label, [one(cell) for cell in cells]) for label, cells in rows]
