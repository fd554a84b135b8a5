"""The report's sections: each paper file with its table and figure, or the reason why the page does not show it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.analysis.papers.candidates import Classes, candidate_cells, classes_of
from irm_sweeps.analysis.papers.runs import PaperRuns
from irm_sweeps.analysis.report.order import in_order
from irm_sweeps.errors import UnknownChoice, UserError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from irm_sweeps.analysis.figures.picture import Picture
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.statistics.two_means import Verdict
    from irm_sweeps.analysis.tables.builder import Builder
    from irm_sweeps.analysis.tables.table import Cell, Table
    from irm_sweeps.sweep.paper import Paper


@dataclass(frozen=True)
class Section:
    """One paper's part of the page.

    Attributes
    ----------
    rules
        Selection rule of each row, by the row's name in the paper file.
    commands
        The command that runs a row's missing trials, by the row's name.
    picture
        The figure as a data URI; None if there is nothing to draw.
    mixed
        That the trials were made by several versions of this package, and how many by each; empty if by one.
    remark
        On the overrides that the table is shown with, where none were typed; empty without any.
    """

    paper: Paper
    table: Table
    rules: dict[str, str]
    commands: dict[str, str]
    picture: str | None
    remark: str = ""
    mixed: str = ""

    @property
    def heading(self) -> str:
        """The beginning of the title: `bae2021 Table 1`."""
        return self.paper.title.partition(":")[0]

    @property
    def cells(self) -> list[tuple[str, Cell]]:
        """Every measured cell, with the label of its row."""
        return [(label, cell) for label, cells in self.table.rows for cell in cells if cell.measured]

    def count(self, word: str) -> int:
        """Return the number of cells with this verdict."""
        return sum(cell.verdict is not None and cell.verdict.word == word for cell in self.table.cells)

    @property
    def is_published(self) -> bool:
        """Whether any cell that trials fill has a published number."""
        return "published" in self.table.comparison_columns

    @property
    def missing(self) -> int:
        """Number of cells that have trials but no mean."""
        return sum(bool(cell.state) for cell in self.table.cells)

    @property
    def verdicts(self) -> dict[Any, Verdict]:
        """The verdicts by what was compared, so that a figure which repeats a table's cells adds none."""
        return {(cell.metric, cell.measured, cell.published): cell.verdict for cell in self.table.cells if cell.verdict}


@dataclass(frozen=True)
class Absent:
    """A paper that the page does not show; without command and reason, it has no trials in the chosen rows.

    Attributes
    ----------
    command
        The command that runs the paper; empty if the page would not show it then either.
    reason
        Why the page cannot show the paper; empty if it can.
    """

    name: str
    title: str
    command: str = ""
    reason: str = ""


def sections(
    results: Results, stores: Sequence[Path], select: str | None, overrides: Sequence[str], only: Sequence[str] = ()
) -> Iterator[Section | Absent]:
    """Yield the section of every paper file that is no union of others, and then the unreadable paper files.

    Raises
    ------
    UserError
        No paper has one of the rows in `only`.
    """
    papers, unreadable = _load_papers()
    rows = _row_names(only)
    for row in rows:
        _check_row(row, papers, unreadable)
    print("looking up the trials of every paper file ...", file=sys.stderr, flush=True)
    runs, found = PaperRuns(stores), classes_of(results)
    for paper in papers.values():
        chosen = paper.model_copy(update={"only": tuple(row for row in rows if row in paper.rows)})
        if rows and not chosen.only:
            yield Absent(paper.name, paper.title)
        else:
            yield _section(chosen, results, stores, select, overrides, runs, found)
    for name, reason in unreadable.items():
        yield Absent(name, name, reason=reason)


def _section(
    paper: Paper,
    results: Results,
    stores: Sequence[Path],
    select: str | None,
    overrides: Sequence[str],
    runs: PaperRuns,
    found: set[Classes],
) -> Section | Absent:
    from irm_sweeps.analysis.papers.until_decided import builder_for

    rows = paper.shown
    with_trials = [name for name, row in rows.items() if row.sweep is not None]
    if not with_trials:
        return Absent(paper.name, paper.title)
    remark = ""
    try:
        if not overrides:
            overrides, remark = runs.choose(paper, results)
        builder = builder_for(paper, stores, select, overrides, results)
        ids = builder.trial_ids() if overrides else _candidates(builder, found)
        if not any(results.of(trial_id) is not None for trial_id in ids):
            command = paper.command(None, overrides_into(folder_to_fill(stores), overrides))
            return Absent(paper.name, paper.title, command)
        return Section(
            paper=paper,
            table=builder.table(),
            rules={name: builder.rule_for(row) for name, row in rows.items()},
            commands={name: builder.command(name) for name in with_trials},
            picture=_picture(builder),
            remark=remark,
            mixed=builder.versions(),
        )
    except UserError as error:  # also of a row whose class cannot be imported: the other papers have their sections
        return Absent(paper.name, paper.title, reason=str(error))


def _candidates(builder: Builder, found: set[Classes]) -> Iterator[str]:
    """Yield the ids of trials that this version can run and that may have results."""
    for row, column in candidate_cells(builder.paper, found):
        with suppress(UnknownChoice):
            yield from builder.trials(row, column)


def _picture(builder: Builder) -> str | None:
    """Return the paper's figure as a data URI; None if the paper has no figure or nothing is measured."""
    from irm_sweeps.analysis.figures.paper_figure import paper_picture

    if builder.paper.figure is None:
        return None
    return drawn(paper_picture(builder))


def drawn(picture: Picture) -> str | None:
    """Return a picture as a data URI; None if nothing of it is measured."""
    from irm_sweeps.analysis.figures.drawing import draw

    if not any(curve.is_drawn for curve in picture.curves):
        return None
    return data_uri(draw(picture, "svg"))


def data_uri(svg: bytes) -> str:
    """Return an SVG as a URI that contains it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _load_papers() -> tuple[dict[str, Paper], dict[str, str]]:
    """Return the paper files that are no union of others, in the page's order, and the errors of unreadable ones."""
    from irm_sweeps.sweep.grid import HydraCache
    from irm_sweeps.sweep.paper import load_paper

    cache = HydraCache()
    papers, unreadable = {}, {}
    for name in paper_names():
        try:
            papers[name] = load_paper(name, cache)
        except UserError as error:
            unreadable[name] = str(error)
    return {paper.name: paper for paper in in_order(papers)}, unreadable


def _row_names(only: Sequence[str]) -> list[str]:
    """Return the rows that `paper.only=[ROW,...]` names, as Hydra reads it; the last of several overrides counts."""
    from irm_sweeps.compose import compose

    if not only:
        return []
    paper = compose(["paper=demo", *(f"++{word.lstrip('+')}" for word in only)])["paper"]
    return list(dict.fromkeys(map(str, paper["only"])))


def _check_row(row: str, papers: Mapping[str, Paper], unreadable: Collection[str]) -> None:
    known = sorted({name for paper in papers.values() for name in paper.rows})
    if row not in known:
        unknown = f"; of {', '.join(unreadable)} nothing is known: the file cannot be read" if unreadable else ""
        raise UserError(
            f"paper.only: no paper file has a row {row!r}{did_you_mean(row, known)}; rows have the names under rows: "
            f"in conf/paper/NAME.yaml{unknown}"
        )
