"""Each cell against the published one: Welch's test, and what is said of it under the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis import test_set_error
from irm_sweeps.analysis.statistics import ALPHA, FEWEST, compare, multiple_comparisons
from irm_sweeps.analysis.table import Cell, Rows

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper


@dataclass(frozen=True)
class Published:
    """The comparison of a paper's cells with those that its file gives (a `table.Comparison`)."""

    paper: Paper
    against: None = None

    @property
    def name(self) -> str:
        """The paper's."""
        return self.paper.name

    @property
    def title(self) -> str:
        """The paper's."""
        return self.paper.title

    def compared(self, rows: Rows) -> Rows:
        """Return the rows with a verdict wherever something is measured and published."""
        return [(label, [_compared(cell) for cell in cells]) for label, cells in rows]

    def beside(self, rows: Rows) -> Sequence[str]:
        """Return nothing for a table without any published cell."""
        return ("published", "difference", "verdict") if any(_published(rows)) else ()

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield where the published cells come from, and how they are compared."""
        if not any(_published(rows)):
            return
        n = self.paper.published_n
        meaning = f"; ± is taken as a sample standard deviation over n = {n} trials" if n else ""
        if why := self.paper.published_n_assumed:
            meaning += f", which is assumed: {why}"
        yield f"Published: {self.paper.source}{meaning}."
        yield f"Difference: measured minus published, with Welch's {100 * (1 - ALPHA):g} % confidence interval."
        cells = [cell for _, own in rows for cell in own]
        if told := test_set_error.told(cells):
            yield told
        yield (
            "Verdict: two-sided Welch's t-test of measured against published mean, from mean, sd and n; "
            f"alpha = {ALPHA:g}: consistent (p >= alpha) or differs (p < alpha). "
            f"Too few seeds: n < {FEWEST}, or published without ± or n."
        )
        if told := multiple_comparisons(
            (cell.verdict for cell in cells), "measured and published agreed everywhere", "differs"
        ):
            yield told


def _compared(cell: Cell) -> Cell:
    if cell.measured is None or cell.published is None:
        return cell
    return replace(cell, verdict=compare(cell.measured, cell.published))


def _published(rows: Rows) -> Iterator[bool]:
    return (cell.published is not None for _, cells in rows for cell in cells)
