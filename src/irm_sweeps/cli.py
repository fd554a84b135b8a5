"""`irm-sweeps`: the project's commands, wherever the package is installed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from irm_sweeps.commands import (
    cancel,
    completion,
    export,
    failures,
    init,
    logs,
    methods,
    pack,
    reproduce,
    scripts,
    show,
    status,
    unpack,
    watch,
    work,
)
from irm_sweeps.errors import one_line_errors
from irm_sweeps.typed_commands import SCRIPTS, OneLineParser, import_from_here

_DESCRIPTION = "Run trials and sweeps, look at their results, and join or end the work on a sweep."
_EPILOG = 'COMMAND --help says more; "launch --help" is the manual of keys. Tab: eval "$(%(prog)s completion)"'

COMMANDS = {
    "init": init,
    "status": status,
    "watch": watch,
    "show": show,
    "reproduce": reproduce,
    "work": work,
    "failures": failures,
    "logs": logs,
    "cancel": cancel,
    "pack": pack,
    "unpack": unpack,
    "export": export,
    "methods": methods,
    "completion": completion,
}
"""Each module has `add_parser(commands)`, which declares options, and `run(options)`, which imports what is heavy."""


def parser(*, completing: bool = False) -> argparse.ArgumentParser:
    """Return the command line; to complete one, with the options of the scripts too."""
    top = OneLineParser(prog="irm-sweeps", description=_DESCRIPTION, epilog=_EPILOG)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS.values():
        module.add_parser(commands)
        if module is init:  # the list of commands has the scripts second
            scripts.add_parsers(commands, completing=completing)
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake is one line and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_errors():
        if "_ARGCOMPLETE" in os.environ:
            completion.answer(parser(completing=True))
        elif words and words[0] in SCRIPTS:
            _run_script(words[0], words[1:])
        else:
            options = parser().parse_args(words)
            COMMANDS[options.command].run(options)


def _run_script(name: str, words: Sequence[str]) -> None:
    """Run a command that reads its options itself; a user's own classes, in this folder, can be imported."""
    import_from_here()
    if name == "launch":
        from irm_sweeps import launch

        launch.main(words)
    else:
        scripts.script_module(name).main(words)
