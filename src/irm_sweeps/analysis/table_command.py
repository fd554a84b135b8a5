"""Print a paper's table: each measured cell, compared with the published cell or with another row of the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.analysis.options import Parser
from irm_sweeps.analysis.output_file import write_output
from irm_sweeps.analysis.paper_files import find_paper, row_names
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.typed_commands import offers

if TYPE_CHECKING:
    from irm_sweeps.analysis.table import Table
    from irm_sweeps.analysis.table_builder import Builder

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
    """Return the parser of the command line."""
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
    """Print or write the table, or the commands that fill it, as the command line asks."""
    with one_line_errors():
        options = parser().read(argv)
        table_format = options.format or ("md" if options.output is None else _format_of(options.output))
        paper = find_paper(options.paper, options.table, options.figure, options.only)

        from irm_sweeps.analysis.formats import FORMATS
        from irm_sweeps.analysis.paired import Against
        from irm_sweeps.analysis.table_builder import Builder

        against = None if options.against is None else Against.row(paper, options.against)
        builder = Builder(paper, options.stores, options.select, options.overrides)
        if options.missing:
            _print_missing(builder)
            return
        table = builder.table(against)
        _print_skipped(builder.results.problems)
        if _is_unmeasured(table) and any(row.sweep is not None for row in paper.shown.values()):
            command = paper.command(None, overrides_into(folder_to_fill(options.stores), options.overrides))
            print(f"nothing measured yet: {command} runs all of it", file=sys.stderr)
        text = FORMATS[table_format](table)
        if options.output is None:
            print(text, end="")
        else:
            write_output(options.output, text.encode())


def _print_missing(builder: Builder) -> None:
    """Print the commands that fill the table, and on stderr what no command can fill."""
    commands, unavailable = builder.missing()
    _print_skipped([*builder.results.problems, *unavailable])
    print("".join(f"{command}\n" for command in commands), end="")


def _print_skipped(reasons: Sequence[str]) -> None:
    for reason in reasons:
        print(f"skipped {printable(reason)}", file=sys.stderr)


def _is_unmeasured(table: Table) -> bool:
    """Return whether no trial of the table has any result."""
    states = {cell.state for cell in table.cells if cell.state}
    return states <= {"missing", "not available"} and not any(cell.measured for cell in table.cells)


def _format_of(output: Path) -> str:
    """Return the format that the ending of the output file names."""
    if (ending := output.suffix.lower()) not in _SUFFIXES:
        raise UserError(f"--output {output}: give a file that ends in {', '.join(_SUFFIXES)}, or --format")
    return _SUFFIXES[ending]
