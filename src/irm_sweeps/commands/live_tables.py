"""The tables of the papers that a running sweep is of, made again and again from the results so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError, one_line
from irm_sweeps.store.sweeps import is_of_paper

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.tables.builder import Builder
    from irm_sweeps.analysis.tables.table import Table
    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.sweep.paper import Paper


class LiveTables:
    """The tables of one launch of a paper file, or of a union of such files.

    The trials of a file are composed once, which takes seconds, and not before one of the file's results may be there:
    those of one file at each look.

    Attributes
    ----------
    problems
        A line for each reason why a paper is not shown.
    """

    def __init__(self, manifest: Manifest, results: Results) -> None:
        self.problems: list[str] = []
        self._results = results
        self._trials = set(manifest.trials)
        self._papers: list[Paper] = []
        self._overrides: list[str] = []
        self._builders: dict[str, Builder | None] = {}
        try:
            self._papers, self._overrides = _papers(manifest)
        except UserError as error:
            self._give_up(error)

    def compose_next(self) -> None:
        """Look for results again, and compose the trials of the next file that may have one."""
        from irm_sweeps.analysis.papers.candidates import candidate_cells, classes_among
        from irm_sweeps.analysis.papers.until_decided import builder_for

        self._results.look_again()
        found = classes_among(map(self._results.of, self._trials))
        waiting = (paper for paper in self._papers if paper.name not in self._builders)
        paper = next((one for one in waiting if self._overrides or any(candidate_cells(one, found))), None)
        if paper is None:
            return
        self._builders[paper.name] = None
        stores = [reader.root for reader in self._results.readers]
        try:
            builder = builder_for(paper, stores, None, self._overrides, self._results)
            list(builder.trial_ids())
        except UserError as error:
            self._give_up(error)
        else:
            self._builders[paper.name] = builder

    def tables(self) -> Sequence[Table]:
        """Return the tables so far of what has been composed, in the order of the papers."""
        return [table for paper in self._papers if (table := self._table(paper)) is not None]

    def _table(self, paper: Paper) -> Table | None:
        """Return a paper's table; None before its first result."""
        builder = self._builders.get(paper.name)
        if builder is None:
            return None
        builder.look_again()
        has_results = any(self._results.of(trial_id) for trial_id in builder.trial_ids())
        return builder.table() if has_results else None

    def _give_up(self, error: UserError) -> None:
        self.problems.append(one_line(f"the paper's table is not shown: {error}", at_most=1000))


def _papers(manifest: Manifest) -> tuple[list[Paper], list[str]]:
    """Return the paper files of a sweep, and its overrides on top of these; no file where the sweep is no paper's.

    A store may be a stranger's: overrides that could name a class, or another folder of YAMLs, are not composed.

    Raises
    ------
    UserError
        A file is no longer there or cannot be read.
    """
    if not is_of_paper(manifest.name) or any(map(_is_of_code, manifest.overrides)):
        return [], []
    from irm_sweeps.sweep.paper import papers_of

    papers, overrides = papers_of(manifest.overrides)
    return list(_files(papers)), overrides


def _is_of_code(override: str) -> bool:
    return "_target_" in override or "${" in override or override.lstrip("+~").startswith("hydra")


def _files(papers: Sequence[Paper]) -> Iterator[Paper]:
    for paper in papers:
        yield from paper.files()
