"""`irm-sweeps pack`: results and histories of a store, a sweep or a paper as one file to share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.commands import completers
from irm_sweeps.commands.arguments import Commands, add_store_command, open_results, open_store
from irm_sweeps.errors import UserError, printable
from irm_sweeps.files import typed_paths
from irm_sweeps.typed_commands import import_from_here, offers
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.store.archive import Packed
    from irm_sweeps.store.reader import Reader


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "Results and histories of a store, a sweep or a paper as one file: the same results, the same bytes."
    parser = add_store_command(commands, "pack", about, archives=True)
    which = parser.add_mutually_exclusive_group()
    offers(
        which.add_argument("--sweep", metavar="NAME", help="of a sweep: its name or the beginning"), completers.sweeps
    )
    offers(
        which.add_argument("--paper", metavar="NAME", help="of a paper file, or of a whole paper, e.g. bae2021"),
        completers.papers,
    )
    number = parser.add_mutually_exclusive_group()
    number.add_argument("--table", metavar="N", help="of the paper, this table only")
    number.add_argument("--figure", metavar="N", help="of the paper, this figure only")
    parser.add_argument(
        "-o", "--output", type=typed_paths.output, required=True, metavar="FILE.zip", help="the archive to write"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="the overrides that the trials were run with, as in launch's command line; without --paper, "
        "the trials of the sweep that they make",
    )


def run(options: argparse.Namespace) -> None:
    """Write the archive and print what is in it; exit with code 1 if a damaged result is left out."""
    from irm_sweeps.analysis.options import check_override

    if options.output.suffix.lower() != ".zip":
        raise UserError(f"--output {options.output}: give a file that ends in .zip")
    for option in ("table", "figure"):
        if options.paper is None and getattr(options, option) is not None:
            raise UserError(f"--{option} {getattr(options, option)}: of which paper? add --paper NAME")
    if options.sweep is not None and options.overrides:
        raise UserError(f"{options.overrides[0]}: a sweep is packed whole: leave it out")
    for word in options.overrides:
        check_override(word, names_a_paper=True)
    import_from_here()
    reader = open_results(options)
    chosen = set(_chosen(options, reader))
    packed = _write(options.output, reader, chosen)
    for problem in packed.problems:
        print(printable(f"left out: {problem}"), file=sys.stderr)
    size = options.output.stat().st_size / 1000
    missing = len(chosen) - len(packed.trial_ids) - len(packed.problems)
    without = f"; {count(missing, 'trial')} of the selection without a result" if missing else ""
    print(f"{options.output}: {count(len(packed.trial_ids), 'result')}, {size:,.0f} kB{without}")
    if packed.problems:
        raise SystemExit(1)


def _chosen(options: argparse.Namespace, reader: Reader) -> Iterable[str]:
    """Return the ids of the selection."""
    if options.sweep is not None:
        from irm_sweeps.store.manifest import read_manifest

        return read_manifest(open_store(options), options.sweep).trials
    if options.paper is not None:
        return _of_paper(options)
    if options.overrides:
        from irm_sweeps.sweep.grid import trials

        return trials(options.overrides)
    return reader.trial_ids()


def _of_paper(options: argparse.Namespace) -> Iterable[str]:
    from irm_sweeps.analysis.options import rows_and_others
    from irm_sweeps.analysis.paper_files import named_paper

    only, overrides = rows_and_others(options.overrides)
    return named_paper(options.paper, options.table, options.figure, only).all_trials(overrides)[0]


def _write(path: Path, reader: Reader, trial_ids: Iterable[str]) -> Packed:
    from irm_sweeps.files.atomic import make_folder
    from irm_sweeps.store.archive import write_archive

    make_folder(path.parent)
    try:
        return write_archive(path, reader, trial_ids)
    except OSError as error:
        raise UserError(f"--output {path} cannot be written: {error.strerror or error}") from None
