"""The comparison of each cell with its published cell, by Welch's interval of the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis.statistics.equivalence import POWER, compare
from irm_sweeps.analysis.statistics.two_means import ALPHA, FEWEST, Summary, Verdict, multiple_comparisons
from irm_sweeps.analysis.tables import shared_seeds, test_set_error
from irm_sweeps.analysis.tables.table import Cell, Rows, is_theoretical

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper


ASSUMED_N = 3
"""Trials behind a published mean, where neither print nor the paper file says how many."""


@dataclass(frozen=True)
class PublishedComparison:
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
        """Return the columns of the comparison; none for a table whose only published cells are theoretical."""
        if not _is_published(rows):
            return ()
        reruns = [cell for _, cells in rows for cell in cells if cell.rerun]
        rerun = ["rerun"] if reruns else []
        if any(cell.rerun_verdict for cell in reruns):
            rerun += ["rerun_difference", "rerun_verdict"]
        compared = ("difference", "p", "verdict") if not self.paper.orientation else ()
        return ("published", *compared, *rerun)

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield the lines on the source of the published cells and on the comparison; none without a published cell."""
        if not any(cell.published for _, cells in rows for cell in cells):
            return
        meaning = ""
        if _any_spread(rows):
            n, why = self.paper.published_n, self.paper.published_n_assumed
            meaning = f"; ± is taken as a sample standard deviation over n = {n or ASSUMED_N} trials"
            if why or n is None:
                meaning += f", which is assumed: {why or 'print does not say, and the paper file sets no published_n'}"
        yield f"Published: {self.paper.source or 'the paper file names no source'}{meaning}."
        if self.paper.orientation:
            yield f"Published cells stand there for orientation, without a verdict: {self.paper.orientation}."
            return
        if not _is_published(rows):
            return
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
        yield from self._rerun_lines()
        if line := shared_seeds.line(rows):
            yield line
        agreed = "measured and published agreed everywhere"
        if line := multiple_comparisons((cell.verdict for cell in cells), agreed, self.looks):
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

    def _rerun_lines(self) -> Iterator[str]:
        """Yield a line on the runs of the published code; none if no row has any."""
        sources = [f"{row.label}: {row.rerun.source}" for row in self.paper.shown.values() if row.rerun]
        if sources:
            yield (
                "Published code, rerun: its mean ± sample standard deviation, and the verdict on the difference, "
                "measured minus that, by the same rule; these comparisons are no part of the tests counted here. "
                f"{'; '.join(sources)}."
            )

    def compared_cell(self, cell: Cell) -> Cell:
        """Return a cell with its verdict, if it has a measured and a published mean."""
        if self.paper.orientation:
            return cell
        return replace(cell, verdict=self._verdict(cell, cell.published), rerun_verdict=self._verdict(cell, cell.rerun))

    def _verdict(self, cell: Cell, other: Summary | None) -> Verdict | None:
        if cell.measured is None or other is None:
            return None
        margin = self.paper.margin if cell.metric.endswith("/accuracy") else None
        verdict = compare(cell.measured, other, margin, rounding=0.5 * 10.0**-cell.decimals, looks=self.looks)
        return replace(verdict, needs=None) if cell.lost else verdict


def _any_spread(rows: Rows) -> bool:
    return any(cell.published and cell.published.sd is not None for _, cells in rows for cell in cells)


def _is_published(rows: Rows) -> bool:
    """Return whether any cell that trials fill has a published number."""
    return any(cell.published for _, cells in rows if not is_theoretical(cells) for cell in cells)
