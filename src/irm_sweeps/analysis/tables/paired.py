"""The comparison of each row with another row of the same table, paired by seed, by Student's paired t-test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis.statistics.two_means import (
    ALPHA,
    FEWEST,
    Verdict,
    Word,
    around,
    exact,
    multiple_comparisons,
    summarize,
    two_sided,
)
from irm_sweeps.analysis.tables import test_set_error
from irm_sweeps.analysis.tables.table import Cell, Rows
from irm_sweeps.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper


def compare(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Verdict:
    """Return the verdict of Student's paired t-test on the values by seed of two cells.

    Over the k seeds that both have, with `d = mine - theirs`: mean(d), its interval `mean(d) ± t sd(d) / sqrt(k)`, and
    p, both with k - 1 degrees of freedom. If all d are equal there is no error to estimate: the interval is a point,
    and p is 1 if they are 0, else 0.
    """
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return Verdict("too few seeds", None, None, pairs=0)
    values = [by_seed[seed] for by_seed in (mine, theirs) for seed in seeds]
    differences = [exact(mine[seed] - theirs[seed], *values) for seed in seeds]
    summary, k = summarize(differences), len(seeds)
    if summary.sd is None:
        return Verdict("too few seeds", summary.mean, None, pairs=k)
    spread = summary.sd if exact(max(differences) - min(differences), *values) else 0.0
    student = (summary.mean, spread / math.sqrt(k), k - 1)
    untested = Verdict("too few seeds", summary.mean, None, around(*student), pairs=k)
    if k < FEWEST:
        return untested
    p = two_sided(*student)
    word: Word = "no difference shown" if p >= ALPHA else "higher" if summary.mean > 0 else "lower"
    return replace(untested, word=word, p=p)


def how_lines(label: str, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the lines that say how rows are compared with the one of this label."""
    level = f"{100 * (1 - ALPHA):g} %"
    yield (
        f"Difference: the row minus {label} in the same column, the mean over the seeds that have a value in both "
        f"cells, with the paired t-test's {level} confidence interval; the number of these pairs stands there where it "
        "is not the cell's n."
    )
    yield (
        "Pairs: by seed. For two rows the same seed is the same data and the same initialisation only where their "
        "dataset and backbone agree; as far as these move both rows alike, that cancels in the difference. Where "
        "they do not agree, less or nothing cancels, and the comparison is as valid."
    )
    yield (
        f"Verdict: two-sided paired t-test; alpha = {ALPHA:g}: higher or lower (p < alpha; of a risk, lower is "
        "better) or no difference shown (p >= alpha; not equality: the interval says what is still possible). "
        f"Too few seeds: fewer than {FEWEST} pairs. In brackets: p with Holm's correction."
    )
    if any(v.p is not None and v.interval and v.interval[0] == v.interval[1] for v in verdicts):
        yield (
            "No spread: where all differences of a cell are equal, there is no error to estimate, and p is 1 if "
            "they are 0, else 0."
        )


@dataclass(frozen=True)
class PairedComparison:
    """Compares the rows of a table with one of them (a `table.Comparison`).

    Attributes
    ----------
    against
        Name of that row in the paper file.
    """

    paper: Paper
    against: str

    @classmethod
    def row(cls, paper: Paper, name_or_label: str) -> PairedComparison:
        """Return the comparison with the row that has a name, or else a label.

        Raises
        ------
        UserError
            No row or several rows match, the row has no trials, or `paper.only` leaves it out.
        """
        labelled = [name for name, row in paper.rows.items() if row.label == name_or_label]
        matches = [name_or_label] if name_or_label in paper.rows else labelled
        rows = [name for name, row in paper.shown.items() if row.sweep is not None]
        choice = f"rows: {', '.join(rows)}"
        option = f"--against {name_or_label}"
        if len(matches) > 1:
            raise UserError(f"{option}: {len(matches)} rows have this label: {', '.join(matches)}; give the name")
        if not matches:
            known = [*rows, *(paper.rows[name].label for name in rows)]
            raise UserError(f"{option}: {paper.name} has no such row{did_you_mean(name_or_label, known)}; {choice}")
        (name,) = matches
        if paper.rows[name].sweep is None:
            raise UserError(f"{option}: that row has no trials, so no seeds to pair; {choice}")
        if name not in paper.shown:
            raise UserError(
                f"{option}: paper.only=[{','.join(paper.only)}] leaves that row out; "
                f"say paper.only=[{','.join([*paper.only, name])}]"
            )
        return cls(paper, name)

    @property
    def label(self) -> str:
        """Label of the row that the others are compared with."""
        return self.paper.rows[self.against].label

    @property
    def name(self) -> str:
        """Name of the paper file and of the row."""
        return f"{self.paper.name}_against_{self.against}"

    @property
    def title(self) -> str:
        """Title of the paper file and label of the row."""
        return f"{self.paper.title}; compared with {self.label}"

    def compared(self, rows: Rows) -> Rows:
        """Return the rows that have trials, without published cells; each row but `against` has verdicts."""
        references = next(cells for _, cells in rows if cells[0].row == self.against)
        return [
            (label, [self._compared(*pair) for pair in zip(cells, references, strict=True)])
            for label, cells in rows
            if self.paper.rows[cells[0].row].sweep is not None
        ]

    def _compared(self, cell: Cell, reference: Cell) -> Cell:
        cell = replace(cell, published=None)
        if cell.row == self.against or cell.measured is None or reference.measured is None:
            return cell
        return replace(cell, verdict=compare(cell.by_seed, reference.by_seed))

    def columns(self, rows: Rows) -> Sequence[str]:
        """Return the columns of the comparison, the same for all tables."""
        del rows
        return ("difference", "p", "verdict")

    def footer(self, rows: Rows) -> Iterator[str]:
        """Yield the lines on the comparison and on what it leaves out."""
        cells = [cell for _, row_cells in rows for cell in row_cells]
        verdicts = [cell.verdict for cell in cells if cell.verdict]
        yield from how_lines(self.label, verdicts)
        if any(cell.settings > 1 for cell in cells):
            yield (
                "A setting that was chosen by the cell's own metric (selection rule last, oracle or stop) flatters its "
                "cell, on both sides and the more the more settings there were; neither difference nor p corrects it."
            )
        if any(row.published for row in self.paper.shown.values()):
            yield "Published values, and rows that have nothing else, are not shown."
        if line := test_set_error.excluded(cell for cell in cells if cell.verdict or cell.row == self.against):
            yield line
        if line := multiple_comparisons(verdicts, f"no row differed from {self.label}"):
            yield line
