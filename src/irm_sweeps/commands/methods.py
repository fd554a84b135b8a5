"""`irm-sweeps methods`: every method that this version, or the user's own folder of YAMLs, offers."""

from __future__ import annotations

import argparse
import sys

from irm_sweeps.commands.arguments import Commands, add_command
from irm_sweeps.typed_commands import import_from_here


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    parser = add_command(commands, "methods", "Every method: paper, parameters, whether it stacks.")
    parser.add_argument(
        "--table", action="store_true", help="one line a method, as Markdown: players, own tensors, ..."
    )


def run(options: argparse.Namespace) -> None:
    """Print every method with its parameters, or a table of all; exit code 1 if a YAML of one cannot be used."""
    from irm_sweeps.analysis.text_grid import width
    from irm_sweeps.commands.method_catalogue import methods, page

    import_from_here()
    refused: list[str] = []
    print(page(refused) if options.table else "\n\n".join(entry.text(width()) for entry in methods(refused)))
    for reason in refused:
        print(f"left out: {reason}", file=sys.stderr)
    if refused:
        sys.exit(1)
