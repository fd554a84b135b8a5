"""`irm-sweeps unpack`: add an archive's results to a store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from irm_sweeps.commands.arguments import Commands, add_store_command
from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import expanded, refuse_file
from irm_sweeps.wording import count


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "Add the results in an archive to a store, where they count as done. Nothing in the store is overwritten."
    parser = add_store_command(commands, "unpack", about)
    parser.add_argument("archive", type=Path, metavar="FILE.zip", help="what irm-sweeps pack wrote")


def run(options: argparse.Namespace) -> None:
    """Unpack; exit with code 1 if the store keeps other results of trials that the archive has."""
    from irm_sweeps.files.reading import is_there
    from irm_sweeps.store.archive import Archive
    from irm_sweeps.store.disagreements import by_up_to
    from irm_sweeps.store.store import Store
    from irm_sweeps.store.unpacking import unpack

    path = expanded(options.archive, "FILE")
    if not is_there(path) or path.is_dir():
        raise UserError(f"{path}: no such file; give the archive that irm-sweeps pack wrote")
    store = Store(options.results.absolute())
    refuse_file(store.root, "results")
    unpacked = unpack(Archive(path), store)
    for trial_id in unpacked.replaced:
        print(f"damaged: {store.root / trial_id}/result.json is moved aside, as result.damaged.N.json", file=sys.stderr)
    for trial_id, differences in unpacked.conflicts.items():
        how = (
            f"with other numbers{by_up_to([differences])}"
            if differences
            else "with the same numbers, of another training"
        )
        print(f"kept: {store.root / trial_id} has another result than the archive, {how}", file=sys.stderr)
    kept = f", {len(unpacked.conflicts)} kept as they are in the store" if unpacked.conflicts else ""
    there = f", {len(unpacked.present)} there already" if unpacked.present else ""
    print(f"{store.root}: {count(len(unpacked.added), 'result')} added from {path.name}{there}{kept}")
    if unpacked.conflicts:
        raise SystemExit(1)
