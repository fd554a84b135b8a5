"""The comparison of each cell with its published cell, by Welch's t-test."""

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
    """Compares a paper's cells with the published cells in its file (a `table.Comparison`)."""

    paper: Paper
    against: None = None

    @property
    def name(self) -> str:
        """Name of the paper file."""
        return self.paper.name

    @property
    def title(self) -> str:
        """Title of the paper file."""
        return self.paper.title

    def compared(self, rows: Rows) -> Rows:
        """Return the rows with a verdict in each cell that has a measured and a published mean."""
        return [(label, [_compared(cell) for cell in cells]) for label, cells in rows]

    def columns(self, rows: Rows) -> Sequence[str]:
        """Return the columns of the comparison; none for a table without a published cell."""
        return ("published", "difference", "verdict") if _any_published(rows) else ()

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield the lines on the source of the published cells and on the comparison; none without a published cell."""
        if not _any_published(rows):
            return
        n = self.paper.published_n
        meaning = f"; ± is taken as a sample standard deviation over n = {n} trials" if n else ""
        if why := self.paper.published_n_assumed:
            meaning += f", which is assumed: {why}"
        yield f"Published: {self.paper.source}{meaning}."
        yield f"Difference: measured minus published, with Welch's {100 * (1 - ALPHA):g} % confidence interval."
        cells = [cell for _, row_cells in rows for cell in row_cells]
        if line := test_set_error.included(cells):
            yield line
        yield (
            "Verdict: two-sided Welch's t-test of measured against published mean, from mean, sd and n; "
            f"alpha = {ALPHA:g}: consistent (p >= alpha) or differs (p < alpha). "
            f"Too few seeds: n < {FEWEST}, or published without ± or n."
        )
        if line := multiple_comparisons(
            (cell.verdict for cell in cells), "measured and published agreed everywhere", "differs"
        ):
            yield line


def _compared(cell: Cell) -> Cell:
    if cell.measured is None or cell.published is None:
        return cell
    return replace(cell, verdict=compare(cell.measured, cell.published))


def _any_published(rows: Rows) -> bool:
    return any(cell.published is not None for _, cells in rows for cell in cells)
