"""`irm-sweeps completion`: let a shell complete these commands with the Tab key."""

from __future__ import annotations

import argparse

from irm_sweeps.commands.arguments import Commands, add_command
from irm_sweeps.typed_commands import import_from_here

SHELLS = ("bash", "zsh", "fish")

_ZSH_READY = """\
if [[ -n "${ZSH_VERSION-}" ]] && ! whence compdef > /dev/null; then
    autoload -Uz compinit && compinit -i
fi
"""
"""A zsh whose owner has not set up completion has no `compdef`, which argcomplete's code calls."""


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = 'What makes a shell complete these commands: eval "$(irm-sweeps completion)"'
    parser = add_command(commands, "completion", about)
    parser.add_argument("shell", nargs="?", choices=SHELLS, default="bash", help="default: bash")


def run(options: argparse.Namespace) -> None:
    """Print the shell's script."""
    print(script(options.shell))


def script(shell: str) -> str:
    """Return what a shell has to evaluate once, to ask `irm-sweeps` from then on."""
    from argcomplete.shell_integration import shellcode

    code = str(shellcode(["irm-sweeps"], shell=shell))
    return code if shell == "fish" else _ZSH_READY + code


def answer(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks what the Tab key offers, and exit."""
    import argcomplete

    import_from_here()
    argcomplete.autocomplete(parser)
