"""A paper's table whose cells get seeds until they are decided: which trials run next, and when a cell stops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.equivalence import planned_looks
from irm_sweeps.analysis.published import Published
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.statistics import FEWEST
from irm_sweeps.analysis.table_builder import Builder
from irm_sweeps.errors import UnknownChoice, UserError
from irm_sweeps.sweep.collect import SEEDS
from irm_sweeps.sweep.paper import load_paper

if TYPE_CHECKING:
    from irm_sweeps.analysis.table import Cell, Comparison, Table
    from irm_sweeps.sweep.paper import Paper, Row
    from irm_sweeps.trial import Trial


DEFAULT = 20
"""Most seeds of a cell, where `max_seeds` is not given."""


def builder_for(
    paper: Paper,
    stores: Sequence[Path],
    select: str | None,
    overrides: Sequence[str],
    results: Results | None = None,
) -> Builder:
    """Return what measures a paper's table: with `seeds=until_decided` among the overrides, an `UntilDecided`.

    Raises
    ------
    UserError
        A seed is given too, or `max_seeds` is no number from 3 on.
    """
    given = dict(word.lstrip("+").split("=", 1) for word in overrides if word.lstrip("+").partition("=")[0] in SEEDS)
    if given.get("seeds") in (None, "null"):
        return Builder(paper, stores, select, overrides, results)
    others = [word for word in overrides if word.lstrip("+").partition("=")[0] not in SEEDS]
    if seeds := [word for word in others if word.lstrip("+").startswith("seed=")]:
        raise UserError(f"{seeds[0]} seeds=until_decided: give one of them; max_seeds={DEFAULT} says where seeds end")
    most = given.get("max_seeds", str(DEFAULT))
    if not most.isdecimal() or int(most) < FEWEST:
        raise UserError(f"max_seeds={most}: give a whole number from {FEWEST} on")
    return UntilDecided(paper, stores, select, others, int(most), results)


def next_trials(papers: Sequence[Paper], store: Path, user: Sequence[str]) -> dict[str, Trial]:
    """Return the trials by id that the undecided cells of papers, and of those that they include, need next."""
    files = (
        [load_paper(name) for paper in papers for name in (paper.only or paper.include)]
        if any(paper.include for paper in papers)
        else papers
    )
    results = Results([store])
    found: dict[str, Trial] = {}
    for paper in files:
        builder = builder_for(paper, [store], None, user, results)
        if isinstance(builder, UntilDecided):
            found.update(builder.to_run())
    return found


class UntilDecided(Builder):
    """Measures each cell at the first planned look that decides it, else at the last look that has all its trials.

    Everything follows from the results in the stores, so a command that is given again goes on where the last ended. A
    look has the first n seeds of a cell. A cell without a published spread, which no seed can decide, stops at
    the first.

    Parameters
    ----------
    max_seeds
        Number of seeds of the last look.
    """

    def __init__(
        self,
        paper: Paper,
        stores: Sequence[Path],
        select: str | None,
        overrides: Sequence[str],
        max_seeds: int,
        results: Results | None = None,
    ) -> None:
        super().__init__(paper, stores, select, overrides, results)
        self.max_seeds, self.looks = max_seeds, planned_looks(max_seeds)
        self._published = Published(paper, len(self.looks))
        self._at = {
            n: Builder(paper, stores, select, [*overrides, f"seed=range(0,{n})"], self.results) for n in self.looks
        }

    def table(self, comparison: Comparison | None = None) -> Table:
        """Return the table; each verdict is by the interval of one look among several."""
        return super().table(comparison or self._published)

    def cell(self, name: str, row: Row, index: int) -> Cell:
        """Return the measured cell at the look at which it stops."""
        n, waits = self._stop(name, row, index)
        before = [look for look in self.looks if look < n]
        return self._at[before[-1] if waits and before else n].cell(name, row, index)

    def command(self, row: str, *more: str) -> str:
        """Return the command that goes on with a row."""
        return super().command(row, "seeds=until_decided", f"max_seeds={self.max_seeds}", *more)

    def missing(self) -> tuple[list[str], list[str]]:
        """Return the commands that run the next seeds, one for each row that goes on, and no remarks."""
        rows = dict.fromkeys(name for name, row, index in self._measurable() if self._stop(name, row, index)[1])
        return [self.command(name) for name in rows], []

    def to_run(self) -> dict[str, Trial]:
        """Return the trials of the next look of each cell that goes on, by id; none if all have stopped."""
        return {
            trial_id: trial
            for name, row, index in self._measurable()
            for n, waits in [self._stop(name, row, index)]
            if waits
            for trial_id, trial in self._at[n].trials(row, self.paper.columns[index]).items()
            if self.results.of(trial_id) is None
        }

    def _measurable(self) -> Iterator[tuple[str, Row, int]]:
        """Yield name, row and column index of each cell that this version can run."""
        for name, row in self.paper.shown.items():
            for index, column in enumerate(self.paper.columns if row.sweep is not None else ()):
                try:
                    self._at[self.looks[0]].trials(row, column)
                except UnknownChoice:
                    continue
                yield name, row, index

    def _stop(self, name: str, row: Row, index: int) -> tuple[int, bool]:
        """Return the look at which a cell stands, and whether that look waits for trials."""
        for n in self.looks:
            if row.sweep is not None and self._lacks(n, row, index):
                return n, True
            verdict = self._published.compared_cell(self._at[n].cell(name, row, index)).verdict
            published = self.published(row, index)
            if published is None or published.sd is None or (verdict and verdict.word != "undecided"):
                return n, False
        return self.looks[-1], False

    def _lacks(self, n: int, row: Row, index: int) -> bool:
        try:
            trials = self._at[n].trials(row, self.paper.columns[index])
        except UnknownChoice:
            return False
        return any(self.results.of(trial_id) is None for trial_id in trials)
