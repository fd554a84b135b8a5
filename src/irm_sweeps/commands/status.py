"""`irm-sweeps status`: how far a sweep is, or every sweep of a store."""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from typing import TYPE_CHECKING

from irm_sweeps.commands.arguments import (
    Commands,
    add_optional_sweep,
    add_store_command,
    chosen_sweep,
    open_results,
    open_store,
)
from irm_sweeps.errors import UserError, printable
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.store.archive import Archive
    from irm_sweeps.store.store import Store

WATCH_SECONDS = 5
"""Time between two looks of `--watch`."""


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "How far a sweep is: done, running, failed, to do, time left. From any node."
    parser = add_store_command(commands, "status", about, archives=True)
    add_optional_sweep(parser)
    parser.add_argument("--watch", action="store_true", help="repeat until the sweep is done")
    parser.add_argument(
        "--all", action="store_true", help="every sweep of the store, a line each, the last launched last"
    )
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace) -> None:
    """Print the status of one sweep, once or until it is done; with `--all`, of every sweep."""
    from irm_sweeps.store.archive import Archive

    if isinstance(reader := open_results(options), Archive):
        _print_archive(options, reader)
        return
    store = open_store(options)
    name = chosen_sweep(options, store)
    if options.all:
        _print_every_sweep(options, store)
    else:
        _print_sweep(options, store, name)


def _print_archive(options: argparse.Namespace, archive: Archive) -> None:
    from irm_sweeps.commands.archive_status import archive_status, check_whole

    check_whole(archive, options.sweep or ("--all" if options.all else None))
    status = archive_status(archive)
    print(json.dumps(status.as_json(), indent=1) if options.json else printable(status.text()))


def _print_sweep(options: argparse.Namespace, store: Store, name: str) -> None:
    from irm_sweeps.analysis.text_grid import terminal_width
    from irm_sweeps.commands.sweep_status import add_jobs, sweep_status
    from irm_sweeps.store.manifest import read_manifest
    from irm_sweeps.sweep.progress import in_place

    hint = "" if options.sweep else _hint_at_others(store)
    with in_place(options.watch and not options.json) as show:
        while True:
            manifest = read_manifest(store, name)
            status = sweep_status(store, manifest)
            add_jobs(store, [(status, manifest)])
            show(
                json.dumps(status.as_json(), indent=1)
                if options.json
                else printable(status.text(terminal_width()) + hint)
            )
            if not options.watch or status.done == status.total:
                return
            time.sleep(WATCH_SECONDS)


def _hint_at_others(store: Store) -> str:
    """Return a line on the sweeps besides the last launched, if there are any."""
    from irm_sweeps.store.sweeps import sweep_names

    others = len(sweep_names(store)) - 1
    return f"\n  {count(others, 'other sweep')}: {looking('status', '--all', results=store.root)}" if others else ""


def _print_every_sweep(options: argparse.Namespace, store: Store) -> None:
    from irm_sweeps.analysis.text_grid import terminal_width
    from irm_sweeps.commands.overview import overview, text
    from irm_sweeps.commands.sweep_status import add_jobs

    if options.sweep or options.watch:
        raise UserError(f"--all is every sweep once: leave out {options.sweep or '--watch'}")
    entries = overview(store, partial(add_jobs, store))
    if options.json:
        print(json.dumps([entry.as_json() for entry in entries], indent=1))
    else:
        print(printable(text(entries, terminal_width())))
