"""The comparison of each cell with its published cell, by Welch's interval of the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis import test_set_error
from irm_sweeps.analysis.equivalence import POWER, compare
from irm_sweeps.analysis.statistics import ALPHA, FEWEST, multiple_comparisons
from irm_sweeps.analysis.table import Cell, Rows

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper


ASSUMED_N = 3
"""Trials behind a published mean, where neither print nor the paper file says how many."""


@dataclass(frozen=True)
class Published:
    """Compares a paper's cells with the published cells in its file (a `table.Comparison`).

    Attributes
    ----------
    looks
        How often verdicts are asked for while seeds are added.
    """

    paper: Paper
    looks: int = 1
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
        return [(label, [self.compared_cell(cell) for cell in cells]) for label, cells in rows]

    def columns(self, rows: Rows) -> Sequence[str]:
        """Return the columns of the comparison; none for a table without a published cell."""
        return ("published", "difference", "p", "verdict") if _any_published(rows) else ()

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield the lines on the source of the published cells and on the comparison; none without a published cell."""
        if not _any_published(rows):
            return
        meaning = ""
        if _any_spread(rows):
            n, why = self.paper.published_n, self.paper.published_n_assumed
            meaning = f"; ± is taken as a sample standard deviation over n = {n or ASSUMED_N} trials"
            if why or n is None:
                meaning += f", which is assumed: {why or 'print does not say, and the paper file sets no published_n'}"
        yield f"Published: {self.paper.source}{meaning}."
        level = 100 * (1 - ALPHA / self.looks)
        yield f"Difference: measured minus published, with Welch's {level:.4g} % confidence interval."
        if self.looks > 1:
            yield (
                f"Seeds until decided: a cell is looked at up to {self.looks} times while seeds are added. Each look "
                f"has the share {ALPHA:g}/{self.looks} of the error, and p is multiplied by {self.looks}, so that "
                f"looking again makes no false verdict likelier than {100 * ALPHA:g} %."
            )
        cells = [cell for _, row_cells in rows for cell in row_cells]
        if line := test_set_error.included(cells):
            yield line
        yield from self._verdict_lines(cells)
        if line := multiple_comparisons((cell.verdict for cell in cells), "measured and published agreed everywhere"):
            yield line

    def _verdict_lines(self, cells: Sequence[Cell]) -> Iterator[str]:
        """Yield what the verdicts mean, and which errors cells with so many trials would notice."""
        margin = f"{self.paper.margin:g} points"
        yield (
            f"Verdict: equivalent, if the interval lies within ± {margin}; else differs, if it excludes 0 and the "
            "difference exceeds the rounding in print; else undecided, with the n that would probably decide it, if "
            "difference and spread stay as they are (without an n none would, mostly for the error in print). "
            f"Undecided in any case: n < {FEWEST}, or published without ±."
        )
        notices = [cell.verdict.notices for cell in cells if cell.verdict and cell.verdict.notices is not None]
        if notices:
            least, most = (f"{value:.1f}" for value in (min(notices), max(notices)))
            size = least if least == most else f"{least} to {most}"
            chance = f"with {100 * POWER:g} % probability"
            yield f"Power: {chance} a cell with its n notices a true difference of {size} (each in the CSV: notices)."
        if len(notices) > 1:
            yield (
                "Cells of a table share their data: the trials of one seed have the same images and noise in every row "
                "with the same dataset, so verdicts tend to err together."
            )

    def compared_cell(self, cell: Cell) -> Cell:
        """Return a cell with its verdict, if it has a measured and a published mean."""
        if cell.measured is None or cell.published is None:
            return cell
        margin = self.paper.margin if cell.metric.endswith("/accuracy") else None
        verdict = compare(cell.measured, cell.published, margin, rounding=0.5 * 10.0**-cell.decimals, looks=self.looks)
        return replace(cell, verdict=replace(verdict, needs=None) if cell.lost else verdict)


def _any_spread(rows: Rows) -> bool:
    return any(cell.published and cell.published.sd is not None for _, cells in rows for cell in cells)


def _any_published(rows: Rows) -> bool:
    return any(cell.published is not None for _, cells in rows for cell in cells)
