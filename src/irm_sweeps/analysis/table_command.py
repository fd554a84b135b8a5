"""Print the table of a sweep, or a paper's with each cell compared with the published one or with another row."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.analysis.options import Parser
from irm_sweeps.analysis.output_file import check_output, write_output
from irm_sweeps.analysis.paper_files import find_paper, row_names
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.files import typed_paths
from irm_sweeps.process_state.garbage import collector_paused
from irm_sweeps.typed_commands import offers

if TYPE_CHECKING:
    from irm_sweeps.analysis.tables.builder import Builder
    from irm_sweeps.analysis.tables.table import Table

_DESCRIPTION = """\
Print the table of a sweep: a row for each setting (all that varies but the seed), its seeds pooled to mean ± sd with
their number n, a column for the training environments, for each test environment like these and for the shifted one,
and below it the best setting by the training environments and by the test oracle. The sweep is the one that
was launched last, the one named with --sweep, or the one that the overrides make, whatever command trained it. Where
none was launched, as in an archive of irm-sweeps pack, it is all results.

With --paper, print a paper's table: each cell in per cent, the published cell below it with a sign for the verdict,
and in a second table (in a terminal with --details) their difference with a 95 % interval and p-values (Welch's
t-test). With --against ROW the comparison is with another row of the
table instead, paired by seed. Rows, columns, trials, selection rule and published cells are those of one file,
conf/paper/NAME.yaml.

What is missing names the command that trains it; nothing that diverged or failed is dropped without saying so. The
rules and the statistics are explained in docs/selection_and_statistics.md."""

_EPILOG = """\
examples:
  %(prog)s
  %(prog)s method=irmv1,vrex lam=1,100 'seed=range(0,3)' --format latex
  %(prog)s --sweep sweep-0123abcd --output sweep.csv
  %(prog)s --against 'vrex lam=100'
      (is any setting better than this one? the mean difference over the seeds, a paired t-test)
  %(prog)s --paper demo
  %(prog)s --paper bae2021 --table 1 --format latex --output table1.tex
  %(prog)s --paper bae2021 --table 1 --results results /scratch/other/results
  %(prog)s --paper demo --against vrex
      (is any method better than V-REx? the mean difference over the seeds, a paired t-test)
  %(prog)s --paper bae2021 --table 1 --missing | sh
  %(prog)s --paper bae2021 --table 1 'seed=range(0,3)' dataset.source=embedded
      (a shrunken run, of several: the overrides with which the paper was run)
  %(prog)s --paper demo 'paper.only=[vrex]' method.anneal=50
      (some rows only)

exit codes: 0 printed, also where cells are missing; 1 a cell is as --fail-on says; 2 something to correct, in one
line."""

FAILING = ("differs", "undecided", "missing")
"""What --fail-on can name."""

_SUFFIXES = {".txt": "text", ".md": "md", ".tex": "latex", ".csv": "csv", ".html": "html", ".htm": "html"}


def parser() -> Parser:
    """Return the parser of the command line."""
    table = Parser("table", _DESCRIPTION, _EPILOG)
    table.add_argument(
        "--format",
        type=lambda typed: {"tex": "latex", "markdown": "md"}.get(typed, typed),
        choices=["text", "md", "latex", "csv", "html"],
        help="text: for a terminal, as wide as it is; md: Markdown; latex: a booktabs float; csv: one line a cell; "
        "html: a page (default: what --output's ending says; without a file text, of a paper md unless it is printed "
        "on a terminal)",
    )
    table.add_argument(
        "--details",
        action="store_true",
        help="of a paper, as text and latex: also intervals, p-values, and all on how the numbers were made, which md "
        "and html always have",
    )
    table.add_argument(
        "--bold",
        choices=["best"],
        help="best: in each column, the best mean and all that tie with it (the 95 %% interval of the difference "
        "contains 0) in bold; as text with a star",
    )
    against = table.add_argument(
        "--against",
        metavar="ROW",
        help="compare each row with this one of the table, paired by seed, instead of with what is published "
        "(a name under rows: in the paper's file, or a label as printed; of a sweep, a setting as printed)",
    )
    offers(against, row_names)
    table.add_argument(
        "--output", type=typed_paths.output, metavar="FILE", help="write to this file and print its name"
    )
    table.add_argument(
        "--fail-on",
        metavar="WORD[,WORD]",
        help="of a paper: exit with 1 if a cell's verdict is one of these: differs, undecided, missing (no number yet)",
    )
    table.add_argument(
        "--missing",
        action="store_true",
        help="instead of the table, print the commands that fill what is missing or failed, one a line, nothing else",
    )
    table.add_argument(
        "--trust",
        action="store_true",
        help="of a sweep: import the dataset classes that its trials name, also where they are not irm_sweeps's, to "
        "learn which environment is shifted",
    )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Print or write the table, or the commands that fill it, as the command line asks."""
    with one_line_errors(), collector_paused():
        options = parser().read(argv)
        _check_output(options)
        if options.paper is None:
            _sweep(options)
        else:
            _paper(options)


def _check_output(options: argparse.Namespace) -> None:
    """Check what can be checked of the options on the output before any result is read."""
    if options.output is not None:
        if options.missing:
            raise UserError(f"--missing --output {options.output}: --missing prints commands: leave --output out")
        check_output(options.output)
    if options.bold and _format(options, "text") == "csv":
        raise UserError(f"--bold {options.bold} --format csv: CSV has no bold: leave --bold out")


def _sweep(options: argparse.Namespace) -> None:
    """Print or write the table of a sweep."""
    if options.fail_on is not None:
        raise UserError(f"--fail-on {options.fail_on}: of which paper? add --paper NAME")
    table_format = _format(options, "text" if options.against is None else "md")

    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.sweeps.environment_groups import Datasets
    from irm_sweeps.analysis.sweeps.formats import printed
    from irm_sweeps.analysis.sweeps.table import commands, sweep_table
    from irm_sweeps.analysis.sweeps.trials import others_in_stores, selected
    from irm_sweeps.wording import count

    results = Results(options.stores)
    sweep = selected(options, results)
    datasets = Datasets(trusted=options.trust or bool(options.overrides))
    table = sweep_table(sweep, results, options.select or "last", datasets)
    _print_skipped(results.remarks)
    if len(options.stores) > 1 and not (options.sweep or options.overrides) and (n := others_in_stores(sweep, results)):
        print(
            f"the table has only {sweep.name}, which was launched last: the stores have {count(n, 'more result')}; "
            "give the overrides of all that are to be in one table, or --sweep NAME",
            file=sys.stderr,
        )
    if options.missing:
        print("".join(f"{command}\n" for command in commands(table, sweep)), end="")
        return
    if datasets.unknown:
        names = ", ".join(sorted(datasets.unknown))
        print(
            f"which environment is shifted is not known of {printable(names)}: add --trust if the class is yours or of "
            "somebody you trust",
            file=sys.stderr,
        )
    text = printed(table, table_format, details=options.details, bold=options.bold is not None, against=options.against)
    _print_or_write(text, options.output)


def _paper(options: argparse.Namespace) -> None:
    """Print or write the table of a paper."""
    table_format, failing = _format(options, "text" if sys.stdout.isatty() else "md"), _words(options.fail_on)
    paper = find_paper(options.paper, options.table, options.figure, options.only)

    from irm_sweeps.analysis.papers.runs import overrides_of_run
    from irm_sweeps.analysis.papers.until_decided import builder_for
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.tables.best_cells import with_bold
    from irm_sweeps.analysis.tables.formats import FORMATS
    from irm_sweeps.analysis.tables.paired import PairedComparison

    against = None if options.against is None else PairedComparison.row(paper, options.against)
    results = Results(options.stores)
    overrides = options.overrides or overrides_of_run(paper, options, results)
    builder = builder_for(paper, options.stores, options.select, overrides, results)
    if options.missing:
        _print_missing(builder)
        return
    table = builder.table(against)
    _print_skipped(builder.results.remarks)
    if _is_unmeasured(table) and any(row.sweep is not None for row in paper.shown.values()):
        command = paper.command(None, overrides_into(folder_to_fill(options.stores), overrides))
        print(f"nothing measured yet: {command} runs all of it", file=sys.stderr)
    text = FORMATS[table_format](with_bold(table) if options.bold else table, options.details)
    _print_or_write(text, options.output)
    if cells := _failing(table, failing):
        print(f"--fail-on {options.fail_on}: {printable('; '.join(cells))}", file=sys.stderr)
        raise SystemExit(1)


def _words(typed: str | None) -> list[str]:
    """Return the verdicts that --fail-on names."""
    words = [word.strip() for word in (typed or "").split(",") if word.strip()]
    for word in words:
        if word not in FAILING:
            raise UserError(f"--fail-on {typed}: {word} is none of {', '.join(FAILING)}")
    return words


def _failing(table: Table, words: Sequence[str]) -> list[str]:
    """Return the cells with one of these verdicts, as `ROW, COLUMN: VERDICT`."""
    return [
        f"{label}, {cell.column}: {word}"
        for label, cells in table.rows
        for cell in cells
        if (word := cell.verdict.word if cell.verdict else "missing" if cell.state else "") in words
    ]


def _print_or_write(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
    else:
        write_output(output, text.encode())


def _print_missing(builder: Builder) -> None:
    """Print the commands that fill the table, and on stderr what no command can fill."""
    commands, unavailable = builder.missing()
    _print_skipped([*builder.results.remarks, *unavailable])
    print("".join(f"{command}\n" for command in commands), end="")


def _print_skipped(reasons: Sequence[str]) -> None:
    for reason in reasons:
        print(f"skipped {printable(reason)}", file=sys.stderr)


def _is_unmeasured(table: Table) -> bool:
    """Return whether no trial of the table has any result."""
    states = {cell.state for cell in table.cells if cell.state}
    return states <= {"missing", "not available"} and not any(cell.measured for cell in table.cells)


def _format(options: argparse.Namespace, default: str) -> str:
    """Return the format that is asked for, or that the ending of the output file names."""
    if options.format or options.output is None:
        return str(options.format or default)
    if (ending := options.output.suffix.lower()) not in _SUFFIXES:
        raise UserError(f"--output {options.output}: give a file that ends in {', '.join(_SUFFIXES)}, or --format")
    return _SUFFIXES[ending]
