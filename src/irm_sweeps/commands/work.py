"""`irm-sweeps work`: one more worker for a sweep, on this machine."""

from __future__ import annotations

import argparse

from irm_sweeps.commands.arguments import Commands, add_store_command, add_sweep, add_trust, apply_trust, open_store
from irm_sweeps.errors import UserError


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    parser = add_store_command(commands, "work", "Join a sweep: work on it with one more worker, here.")
    add_sweep(parser)
    add_trust(parser, "the sweep's copy of their code, else from where the work was launched or is typed")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")


def run(options: argparse.Namespace) -> None:
    """Work on the sweep until nothing is left to claim."""
    from irm_sweeps.launchers.worker_task import WorkerTask
    from irm_sweeps.store.sweeps import whole_name

    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads {options.threads}: give a whole number from 1 on, or leave it out")
    apply_trust(options)
    store = open_store(options)
    WorkerTask(
        str(store.root), whole_name(store, options.sweep), threads=options.threads, trusted=options.trust, told=True
    )()
