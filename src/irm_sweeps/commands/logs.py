"""`irm-sweeps logs`: what one trial printed."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from irm_sweeps.commands.arguments import Commands, add_store_command, add_trial_id, open_store
from irm_sweeps.errors import UserError, printable
from irm_sweeps.files.untrusted import MIB, open_regular
from irm_sweeps.store.layout import LOG


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    add_trial_id(add_store_command(commands, "logs", "Print one trial's log."))


def run(options: argparse.Namespace) -> None:
    """Print the trial's log, without control characters."""
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
