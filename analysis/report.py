"""Write one HTML page with everything that a store says: verdicts, tables, figures, failures, provenance."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import Parser, filling, paper_names, write
from irm_sweeps.commands import launching
from irm_sweeps.errors import UserError, one_line_errors, printable

if TYPE_CHECKING:
    from cells import Cell, Table
    from irm_sweeps.sweep.paper import Paper
    from layout import Builder
    from measured import Results

_DESCRIPTION = """\
Write one HTML page that needs nothing else, neither network nor other files: first the verdicts, then the tables and
figures of every paper file that has any result, what failed or diverged and why, where the results come from, and
every trial with the command that makes it again. The papers without results are listed with theirs."""

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
    """A paper without results: why, and what to do."""

    name: str
    title: str
    command: str
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
        missing = [store for store in options.stores if not store.is_dir()]
        if missing:
            raise UserError(
                f"--results {missing[0]}: no such directory; run something first: {launching('paper=demo')}"
            )
        output = options.output or options.stores[0] / "report.html"

        from layout import check_choices
        from measured import Results

        check_choices(options.overrides)

        results = Results(options.stores)
        print("looking up the trials of every paper file ...", file=sys.stderr, flush=True)
        text = render(results, options.stores, options.select, options.overrides, options.only)
        for problem in results.problems:
            print(f"skipped {printable(problem)}", file=sys.stderr)
        write(output, text.encode())


def render(
    results: Results, stores: Sequence[Path], select: str | None, user: Sequence[str], only: Sequence[str] = ()
) -> str:
    """Return the page; `only` chooses rows, and the papers that have them."""
    import inventory
    from formats import page
    from irm_sweeps import __version__, provenance
    from verdict import ALPHA, holm

    everything = results.everything()
    parts = list(sections(results, stores, select, user, only))
    shown = [part for part in parts if isinstance(part, Section)]
    tests = list({compared: p for section in shown for compared, p in section.tests.items()}.values())
    git = provenance.git_state()
    return page(
        "report.html",
        sections=shown,
        absent=[part for part in parts if isinstance(part, Absent)],
        tests=len(tests),
        differs=sum(p < ALPHA for p in tests),
        differs_holm=sum(p < ALPHA for p in holm(tests)),
        expected=ALPHA * len(tests),
        trials=[inventory.entry(result, results.store_of(result["trial_id"])) for result in everything],
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
    """Yield the part of every paper file, by name."""
    from irm_sweeps.sweep.grid import Asked
    from irm_sweeps.sweep.paper import load_paper
    from layout import Builder

    asked = Asked()
    for name in paper_names():
        try:
            paper = load_paper(name, asked, only)
            builder = Builder(paper, stores, select, user, results)
            found = any(results.of(trial_id) is not None for trial_id in builder.every_trial())
        except UserError as error:
            yield Absent(name, name, "", str(error))
            continue
        if found:
            yield section(builder)
        else:
            yield Absent(name, paper.title, paper.command(None, filling(stores[0], user)))


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
    from curves import curves, named
    from drawing import draw
    from figures import measure_of

    figure = builder.paper.figure
    if figure is None:
        return None
    found = list(curves(builder, figure))
    if not any(curve.measured for curve in found):
        return None
    svg = draw(found, named(builder, figure), measure_of(builder.paper), "svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


if __name__ == "__main__":
    main()
