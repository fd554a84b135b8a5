"""`irm-sweeps failures`: why trials of a sweep failed, and workers ended early."""

from __future__ import annotations

import argparse

from irm_sweeps.commands.arguments import (
    Commands,
    add_optional_sweep,
    add_store_command,
    chosen_sweep,
    open_store,
)
from irm_sweeps.errors import printable
from irm_sweeps.wording import count


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "The failed trials of a sweep, grouped by the last line of their error."
    add_optional_sweep(add_store_command(commands, "failures", about))


def run(options: argparse.Namespace) -> None:
    """Print each kind of failure with one trial's traceback, the most frequent first."""
    from irm_sweeps.commands.sweep_status import most_first, sweep_status
    from irm_sweeps.store.manifest import read_manifest

    store = open_store(options)
    status = sweep_status(store, read_manifest(store, chosen_sweep(options, store)))
    if not status.failures:
        print(f"{status.name}: no failed trials" + (" among those that can be read" if status.unknown else ""))
    for reason in status.unknown:
        print(printable(f"unknown: {reason}"))
    for message, ids in most_first(status.failures):
        print(f"{len(ids)} x {message}")
        result = store.result(ids[0])
        if result is not None and result.error is not None:
            print("    " + printable(result.error.details).rstrip().replace("\n", "\n    "))
        print("    trials: " + " ".join(ids))
    for message, logs in most_first(status.ended):
        print(f"{count(len(logs), 'worker')} ended early: {message}\n    logs: {printable(' '.join(logs))}")
