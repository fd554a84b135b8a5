"""A paper's table whose cells get seeds until they are decided: which trials run next, and when a cell stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.statistics.equivalence import planned_looks
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.analysis.tables.published import PublishedComparison
from irm_sweeps.compose import compose
from irm_sweeps.config import Settings
from irm_sweeps.errors import UnknownChoice, UserError
from irm_sweeps.sweep.collect import SEEDS

if TYPE_CHECKING:
    from irm_sweeps.analysis.tables.table import Cell, Comparison, Table
    from irm_sweeps.sweep.paper import Paper, Row
    from irm_sweeps.trial import Trial


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
    given = [word for word in overrides if word.lstrip("+").partition("=")[0] in SEEDS]
    if not any(word.lstrip("+").startswith("seeds=") for word in given):
        return Builder(paper, stores, select, overrides, results)
    others = [word for word in overrides if word not in given]
    plain, settings = Builder(paper, stores, select, others, results), Settings.from_config(compose(given))
    if settings.seeds is None:
        return plain
    if seeds := [word for word in others if word.lstrip("+").startswith("seed=")]:
        raise UserError(
            f"{seeds[0]} seeds=until_decided: give one of them; max_seeds={settings.max_seeds} says where seeds end"
        )
    return UntilDecided(plain, settings.max_seeds)


def looks(papers: Sequence[Paper], store: Path, user: Sequence[str]) -> tuple[dict[str, Trial], dict[str, Trial]]:
    """Return the trials by id of the look at which each cell of papers stands, and those of them without a result.

    Cells that have stopped lack none.
    """
    results = Results([store])
    trials: dict[str, Trial] = {}
    for paper in papers:
        builder = builder_for(paper, [store], None, user, results)
        if isinstance(builder, UntilDecided):
            trials.update(builder.at_their_looks())
    return trials, {trial_id: trial for trial_id, trial in trials.items() if results.of(trial_id) is None}


class _Standing(NamedTuple):
    """The look at which a cell stands, by its number of seeds, and whether that look waits for trials."""

    n: int
    waits: bool


class UntilDecided(Builder):
    """Measures each cell at the first planned look that decides it, else at the last look that has all its trials.

    Everything follows from the results in the stores, so a command that is given again goes on where the last ended. A
    look has the first n seeds of a cell. A cell without a published spread, which no seed can decide, stops at
    the first.

    Parameters
    ----------
    plain
        What measures the same table with all seeds that are there.
    max_seeds
        Number of seeds of the last look.
    """

    def __init__(self, plain: Builder, max_seeds: int) -> None:
        super().__init__(plain.paper, plain.stores, plain.select, plain.overrides, plain.results)
        self.max_seeds, self.looks = max_seeds, planned_looks(max_seeds)
        self._published = PublishedComparison(plain.paper, len(self.looks))
        self._at = {n: plain.with_overrides(f"seed=range(0,{n})") for n in self.looks}

    def table(self, comparison: Comparison | None = None) -> Table:
        """Return the table; each verdict is by the interval of one look among several."""
        return super().table(comparison or self._published)

    def look_again(self) -> None:
        """Forget at which look each cell stands."""
        self.__dict__.pop("_standings", None)

    def cell(self, name: str, row: Row, index: int) -> Cell:
        """Return the measured cell at the look at which it stops."""
        n, waits = self._standings[name, index]
        before = [look for look in self.looks if look < n]
        return self._at[before[-1] if waits and before else n].cell(name, row, index)

    def command(self, row: str, *more: str) -> str:
        """Return the command that goes on with a row."""
        return super().command(row, "seeds=until_decided", f"max_seeds={self.max_seeds}", *more)

    def missing(self) -> tuple[list[str], list[str]]:
        """Return the commands that run the next seeds, one for each row that goes on, and remarks on rows without."""
        rows = dict.fromkeys(name for (name, _), (_, waits) in self._standings.items() if waits)
        return [self.command(name) for name in rows], self._at[self.looks[0]].runnable()[1]

    def at_their_looks(self) -> dict[str, Trial]:
        """Return the trials by id of the look at which each cell stands."""
        return {
            trial_id: trial
            for (name, index), (n, _) in self._standings.items()
            for trial_id, trial in self._trials_at(n, self.paper.rows[name], index).items()
        }

    @cached_property
    def _standings(self) -> dict[tuple[str, int], _Standing]:
        """Where each cell stands, by row and column."""
        return {
            (name, index): self._standing(name, row, index)
            for name, row in self.paper.shown.items()
            for index in range(len(self.paper.columns))
        }

    def _standing(self, name: str, row: Row, index: int) -> _Standing:
        for n in self.looks:
            if any(self.results.of(trial_id) is None for trial_id in self._trials_at(n, row, index)):
                return _Standing(n, waits=True)
            verdict = self._published.compared_cell(self._at[n].cell(name, row, index)).verdict
            published = self.published(row, index)
            if (
                self.paper.orientation
                or published is None
                or published.sd is None
                or (verdict and verdict.word != "undecided")
            ):
                return _Standing(n, waits=False)
        return _Standing(self.looks[-1], waits=False)

    def _trials_at(self, n: int, row: Row, index: int) -> Mapping[str, Trial]:
        """Return the trials of a cell's first n seeds; none if it has none, or this version cannot run them."""
        if row.sweep is None:
            return {}
        try:
            return self._at[n].trials(row, self.paper.columns[index])
        except UnknownChoice:
            return {}
