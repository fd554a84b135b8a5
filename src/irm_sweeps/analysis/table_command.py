"""Print a paper's table: every cell as measured, compared with the published one or with a row of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from irm_sweeps.analysis.options import Parser, filling, find_paper, row_names, write
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.typed_commands import offers

_DESCRIPTION = """\
Print a paper's table from the results in the store: each cell as mean ± sd in per cent with its number n of
trials, the published cell beside it, their difference with a 95 % interval, and whether the two agree (Welch's
t-test). With --against ROW the comparison is with another row of the table instead, paired by seed. A cell without
results names the command that fills it; nothing that diverged or failed is dropped without saying so. The rules and
the statistics are explained in docs/selection_and_statistics.md.

Rows, columns, trials, selection rule and published cells are those of one file, conf/paper/NAME.yaml."""

_EPILOG = """\
examples:
  %(prog)s --paper demo
  %(prog)s --paper bae2021 --table 1 --format latex --output table1.tex
  %(prog)s --paper bae2021 --table 1 --results results /scratch/other/results
  %(prog)s --paper demo --against vrex
      (is any method better than V-REx? the mean difference over the seeds, a paired t-test)
  %(prog)s --paper bae2021 --table 1 --missing | sh
  %(prog)s --paper bae2021 --table 1 'seed=range(0,3)' dataset.source=embedded
      (a shrunken run: give the overrides with which the paper was run)
  %(prog)s --paper demo 'paper.only=[vrex]' method.anneal=50
      (some rows only)

exit codes: 0 printed, also where cells are missing; 2 something to correct, said in one line."""

_SUFFIXES = {".md": "md", ".tex": "latex", ".csv": "csv", ".html": "html", ".htm": "html"}


def parser() -> Parser:
    """Return the command line."""
    table = Parser("table", _DESCRIPTION, _EPILOG)
    table.add_argument(
        "--format",
        choices=["md", "latex", "csv", "html"],
        help="md: Markdown; latex: a booktabs float; csv: one line a cell; html: a page "
        "(default: what --output's ending says, without a file md)",
    )
    against = table.add_argument(
        "--against",
        metavar="ROW",
        help="compare each row with this one of the table, paired by seed, instead of with what is published "
        "(a name under rows: in the paper's file, or a label as printed)",
    )
    offers(against, row_names)
    table.add_argument("--output", type=Path, metavar="FILE", help="write to this file and print its name")
    table.add_argument(
        "--missing",
        action="store_true",
        help="instead of the table, print the commands that fill what is missing or failed, one a line, nothing else",
    )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Print or write the table that the command line asks for."""
    with one_line_errors():
        options = parser().read(argv)
        form = options.format or ("md" if options.output is None else _format_of(options.output))
        paper = find_paper(options.paper, options.table, options.figure, options.only)

        from irm_sweeps.analysis.formats import FORMATS
        from irm_sweeps.analysis.paired import Against
        from irm_sweeps.analysis.table_builder import Builder

        against = None if options.against is None else Against.row(paper, options.against)
        builder = Builder(paper, options.stores, options.select, options.overrides)
        if options.missing:
            commands, hopeless = builder.missing()
            for line in [*builder.results.problems, *hopeless]:
                print(f"skipped {printable(line)}", file=sys.stderr)
            print("".join(f"{command}\n" for command in commands), end="")
            return
        table = builder.table(against)
        for problem in builder.results.problems:
            print(f"skipped {printable(problem)}", file=sys.stderr)
        states = {cell.state for cell in table.cells if cell.state}
        measurable = any(row.sweep is not None for row in paper.shown.values())
        if measurable and states <= {"missing", "not available"} and not any(cell.measured for cell in table.cells):
            command = paper.command(None, filling(options.stores[0], options.overrides))
            print(f"nothing measured yet: {command} runs all of it", file=sys.stderr)
        text = FORMATS[form](table)
        if options.output is None:
            print(text, end="")
        else:
            write(options.output, text.encode())


def _format_of(output: Path) -> str:
    """Return the format that a file's ending names."""
    if (ending := output.suffix.lower()) not in _SUFFIXES:
        raise UserError(f"--output {output}: give a file that ends in {', '.join(_SUFFIXES)}, or --format")
    return _SUFFIXES[ending]
