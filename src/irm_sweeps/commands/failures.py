"""`irm-sweeps failures`: why trials of a sweep failed, which diverged, and why workers ended early."""

from __future__ import annotations

import argparse
from collections.abc import Callable
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
from irm_sweeps.errors import one_line, printable
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.store.reader import Reader


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "The failed trials of a sweep, grouped by the last line of their error, and those that diverged."
    add_optional_sweep(add_store_command(commands, "failures", about, archives=True))


def run(options: argparse.Namespace) -> None:
    """Print each kind of failure with one trial's traceback, the most frequent first, and apart the diverged trials."""
    from irm_sweeps.commands.archive_status import archive_status, check_whole
    from irm_sweeps.commands.sweep_status import most_first, sweep_status
    from irm_sweeps.store.archive import Archive
    from irm_sweeps.store.manifest import read_manifest

    reader = open_results(options)
    label_of: Callable[[str], str]
    if isinstance(reader, Archive):
        check_whole(reader, options.sweep)
        status, label_of = archive_status(reader), partial(_short_name, reader)
    else:
        store = open_store(options)
        manifest = read_manifest(store, chosen_sweep(options, store))
        status, label_of = sweep_status(store, manifest), manifest.label_of
    if not status.failures:
        can_be_read = " among those that can be read" if status.damaged or status.unknown else ""
        print(f"{status.name}: no failed trials{can_be_read}")
    for damage in status.damaged:
        print(printable(f"damaged: {damage}"))
    for reason in status.unknown:
        print(printable(f"unknown: {reason}"))
    for message, ids in most_first(status.failures):
        print(f"{len(ids)} x {message}")
        result = reader.result(ids[0])
        if result is not None and result.error is not None:
            print("    " + printable(result.error.details).rstrip().replace("\n", "\n    "))
        print("    trials:")
        for trial_id in ids:
            print(f"      {trial_id}  {one_line(label_of(trial_id))}")
    if n := sum(map(len, status.diverged.values())):
        print(f"{count(n, 'trial')} diverged: an objective was no longer finite")
        for name, ids in status.diverged.items():
            print(f"    {' '.join(ids)}  {printable(name)}")
        print("    a smaller optimizer.lr or lam may keep them finite; rerun=failed trains them again as they are")
    for message, logs in most_first(status.ended):
        print(f"{count(len(logs), 'worker')} ended early: {message}\n    logs: {printable(' '.join(logs))}")


def _short_name(reader: Reader, trial_id: str) -> str:
    result = reader.result(trial_id)
    return "" if result is None else result.label
