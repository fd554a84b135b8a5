"""`irm-sweeps logs`: what one trial printed."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from irm_sweeps.commands.arguments import Commands, add_store_command, add_trial_id, open_results, open_store
from irm_sweeps.errors import UserError, printable
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.files.untrusted import MIB, open_regular
from irm_sweeps.store.layout import LOG
from irm_sweeps.typed_commands import looking

if TYPE_CHECKING:
    from irm_sweeps.store.reader import Reader


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    add_trial_id(add_store_command(commands, "logs", "Print one trial's log.", archives=True))


def run(options: argparse.Namespace) -> None:
    """Print the trial's log, without control characters; of an archive, which has no logs, why the trial failed."""
    from irm_sweeps.store.archive import Archive

    if isinstance(reader := open_results(options), Archive):
        _print_error(reader, reader.find(options.id))
        return
    store = open_store(options)
    path = store.own_folder(store.find(options.id)) / LOG
    try:
        with open_regular(path) as log:
            for line in iter(partial(log.readline, MIB), b""):
                sys.stdout.write(printable(line.decode(errors="replace")))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: the trial has not started") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _print_error(archive: Reader, trial_id: str) -> None:
    """Print the traceback that a failed trial's result has.

    Raises
    ------
    UserError
        The trial has not failed, or its result is damaged.
    """
    try:
        result = archive.result(trial_id)
    except DamagedFile as damage:
        raise UserError(damage.told()) from None
    if result is None or result.error is None:
        seen = looking("show", trial_id, results=archive.root)
        raise UserError(f"{archive.root} is an archive, which has no logs, and {trial_id} has not failed: see {seen}")
    print(printable(result.error.details or result.error.message).rstrip())
    print(f"(an archive has no logs: this is from the result of {trial_id})")
