"""Write one HTML page with everything that a store says: verdicts, tables, figures, failures, provenance."""

from __future__ import annotations

import base64
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.options import Parser, filling, paper_names, write
from irm_sweeps.errors import UserError, did_you_mean, one_line_errors, printable
from irm_sweeps.files.reading import is_folder
from irm_sweeps.typed_commands import launching

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.table import Cell, Table
    from irm_sweeps.analysis.table_builder import Builder
    from irm_sweeps.sweep.grid import HydraCache
    from irm_sweeps.sweep.paper import Paper

_DESCRIPTION = """\
Write one HTML page that needs nothing else, neither network nor other files: first the verdicts, then the tables and
figures of every paper file that has any result, what failed or diverged and why, where the results come from, and
every trial with the command that makes it again. The papers without results are listed with theirs. With
paper.only=[ROW,...] each paper has those of these rows that it has, and papers without any are left out."""

_EPILOG = """\
examples:
  %(prog)s
  %(prog)s --results results /scratch/other/results --output report.html
  %(prog)s 'seed=range(0,3)'
      (a shrunken run: give the overrides with which the papers were run)

exit codes: 0 written, and its path printed; 2 something to correct, said in one line."""


@dataclass(frozen=True)
class Section:
    """One paper's part of the page.

    Attributes
    ----------
    rules
        Selection rule of each row, by the row's name in the paper file.
    commands
        What fills or repeats a row, by its name.
    picture
        The figure as a data URI; None where there is nothing to draw.
    """

    paper: Paper
    table: Table
    rules: dict[str, str]
    commands: dict[str, str]
    picture: str | None

    @property
    def cells(self) -> list[tuple[str, Cell]]:
        """Every cell with something measured, with the label of its row."""
        return [(label, cell) for label, cells in self.table.rows for cell in cells if cell.measured]

    def count(self, word: str) -> int:
        """Return the number of cells with this verdict."""
        return sum(cell.verdict is not None and cell.verdict.word == word for cell in self.table.cells)

    @property
    def missing(self) -> int:
        """Number of cells that could be measured and are not."""
        return sum(bool(cell.state) for cell in self.table.cells)

    @property
    def tests(self) -> dict[Any, float]:
        """The p-values, by what was compared: a figure that shows a table's cells again makes no new test."""
        return {
            (cell.metric, cell.measured, cell.published): cell.verdict.p
            for cell in self.table.cells
            if cell.verdict and cell.verdict.p is not None
        }


@dataclass(frozen=True)
class Absent:
    """A paper that is not on the page.

    Attributes
    ----------
    command
        What runs it; empty where that would not bring it there.
    reason
        Why it cannot be shown; empty where it can. With neither, it has no trials in the rows that are asked for.
    """

    name: str
    title: str
    command: str = ""
    reason: str = ""


def parser() -> Parser:
    """Return the command line."""
    report = Parser("report", _DESCRIPTION, _EPILOG, one_paper=False)
    report.add_argument(
        "--output", type=Path, metavar="FILE", help="an .html file (default: report.html in the first store)"
    )
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    with one_line_errors():
        options = parser().read(argv)
        missing = [store for store in options.stores if not is_folder(store)]
        if missing:
            raise UserError(
                f"--results {missing[0]}: no such directory; run something first: {launching('paper=demo')}"
            )
        output = options.output or options.stores[0] / "report.html"

        from irm_sweeps.analysis.readings import Results
        from irm_sweeps.analysis.table_builder import check_choices

        check_choices(options.overrides)

        results = Results(options.stores)
        text = render(results, options.stores, options.select, options.overrides, options.only)
        for problem in results.problems:
            print(f"skipped {printable(problem)}", file=sys.stderr)
        write(output, text.encode())


def render(
    results: Results, stores: Sequence[Path], select: str | None, user: Sequence[str], only: Sequence[str] = ()
) -> str:
    """Return the page; `only` chooses rows, and the papers that have some of them.

    Raises
    ------
    UserError
        No paper has one of the rows.
    """
    from irm_sweeps import __version__, provenance
    from irm_sweeps.analysis import inventory
    from irm_sweeps.analysis.formats import page
    from irm_sweeps.analysis.statistics import ALPHA, holm

    parts = list(sections(results, stores, select, user, only))
    everything = results.everything()
    shown = [part for part in parts if isinstance(part, Section)]
    absent = [part for part in parts if isinstance(part, Absent)]
    tests = list({compared: p for section in shown for compared, p in section.tests.items()}.values())
    git = provenance.git_state()
    return page(
        "report.html",
        sections=shown,
        absent=[part for part in absent if part.command],
        broken=[part for part in absent if part.reason],
        left_out=[part for part in absent if not part.command and not part.reason],
        tests=len(tests),
        differs=sum(p < ALPHA for p in tests),
        differs_holm=sum(p < ALPHA for p in holm(tests)),
        expected=ALPHA * len(tests),
        trials=[inventory.entry(result, results.store_of(result.trial_id)) for result in everything],
        losses=inventory.losses(everything, results.store_of),
        origins=inventory.origins(everything),
        data=inventory.data(everything),
        problems=results.problems,
        stores=stores,
        user=[*only, *user],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        commit=git["commit"][:12] if git else "outside a checkout",
    )


def sections(
    results: Results, stores: Sequence[Path], select: str | None, user: Sequence[str], only: Sequence[str] = ()
) -> Iterator[Section | Absent]:
    """Yield the part of every paper file that has a table, and then of those that cannot be read.

    Raises
    ------
    UserError
        No paper has one of the rows in `only`.
    """
    from irm_sweeps.analysis.table_builder import Builder
    from irm_sweeps.sweep.grid import HydraCache

    papers, broken = tables(HydraCache())
    rows = asked_rows(only)
    for row in rows:
        check_row(row, papers, broken)
    print("looking up the trials of every paper file ...", file=sys.stderr, flush=True)
    for name, whole in papers.items():
        paper = whole.model_copy(update={"only": tuple(row for row in rows if row in whole.rows)})
        runs = any(row.sweep is not None for row in paper.shown.values())
        if not runs or (rows and not paper.only):
            yield Absent(name, paper.title)
            continue
        try:
            builder = Builder(paper, stores, select, user, results)
            found = any(results.of(trial_id) is not None for trial_id in builder.every_trial())
        except UserError as error:
            yield Absent(name, paper.title, reason=str(error))
            continue
        if found:
            yield section(builder)
        else:
            yield Absent(name, paper.title, paper.command(None, filling(stores[0], user)))
    for name, reason in broken.items():
        yield Absent(name, name, reason=reason)


def tables(cache: HydraCache) -> tuple[dict[str, Paper], dict[str, str]]:
    """Return the paper files by name, but for unions of others, and why some cannot be read."""
    from irm_sweeps.sweep.paper import load_paper

    papers, broken = {}, {}
    for name in paper_names():
        try:
            papers[name] = load_paper(name, cache)
        except UserError as error:
            broken[name] = str(error)
    return {name: paper for name, paper in papers.items() if not paper.include}, broken


def asked_rows(only: Sequence[str]) -> list[str]:
    """Return the names in `paper.only=[ROW,...]` as Hydra reads them, of several the last; no names: all rows."""
    from irm_sweeps.compose import compose

    if not only:
        return []
    paper = compose(["paper=demo", *(f"++{word.lstrip('+')}" for word in only)])["paper"]
    return list(dict.fromkeys(map(str, paper["only"])))


def check_row(row: str, papers: Mapping[str, Paper], broken: Collection[str]) -> None:
    """Refuse the name of a row that no paper has."""
    known = sorted({name for paper in papers.values() for name in paper.rows})
    if row not in known:
        unknown = f"; of {', '.join(broken)} nothing is known: the file cannot be read" if broken else ""
        raise UserError(
            f"paper.only: no paper file has a row {row!r}{did_you_mean(row, known)}; rows have the names under rows: "
            f"in conf/paper/NAME.yaml{unknown}"
        )


def section(builder: Builder) -> Section:
    """Measure and draw one paper."""
    rows = builder.paper.shown
    return Section(
        paper=builder.paper,
        table=builder.table(),
        rules={name: builder.rule_for(row) for name, row in rows.items()},
        commands={name: builder.command(name) for name, row in rows.items() if row.sweep is not None},
        picture=picture(builder),
    )


def picture(builder: Builder) -> str | None:
    """Return the paper's figure as a data URI, if it has one and there is something to draw."""
    from irm_sweeps.analysis.figures.drawing import draw
    from irm_sweeps.analysis.figures.paper_figure import paper_picture

    if builder.paper.figure is None:
        return None
    figure = paper_picture(builder)
    if not any(curve.measured for curve in figure.curves):
        return None
    svg = draw(figure, "svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
