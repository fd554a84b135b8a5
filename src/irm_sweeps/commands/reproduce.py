"""`irm-sweeps reproduce`: run a stored trial again and compare, bit for bit."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from irm_sweeps.commands.arguments import (
    Commands,
    add_store_command,
    add_trial_id,
    add_trust,
    apply_trust,
    open_results,
)
from irm_sweeps.errors import printable
from irm_sweeps.files.typed_paths import expanded


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "Run a stored trial again and compare, bit for bit. Exit code 0: equal, 1: differs."
    parser = add_store_command(commands, "reproduce", about, archives=True)
    add_trial_id(parser)
    add_trust(parser, "the folder in which you are")
    parser.add_argument("--data-dir", type=Path, help="as launch's data_dir (default: $IRM_SWEEPS_DATA_DIR or data)")
    parser.add_argument("--device", help="as launch's device (default: the kind that the trial ran on)")


def run(options: argparse.Namespace) -> None:
    """Train the trial a second time and print what differs; exit with code 1 if anything does."""
    from irm_sweeps.commands.comparison import compare, describe, device_of
    from irm_sweeps.commands.second_run import run_again, stored

    apply_trust(options)
    store = open_results(options)
    result, trial = stored(store, store.find(options.id), trusted=options.trust)
    typed = options.data_dir or os.environ.get("IRM_SWEEPS_DATA_DIR", "data")
    data_dir = expanded(typed, "--data-dir")
    print(printable(describe(result)), flush=True)
    device = options.device or device_of(result)
    again = run_again(store, result, trial, data_dir, device, trusted=options.trust)
    comparison = compare(result, again)
    print(printable(comparison.text()))
    if not comparison.equal:
        raise SystemExit(1)
