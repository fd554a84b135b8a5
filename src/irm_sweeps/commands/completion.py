"""What the Tab key offers after `irm-sweeps`: commands, options, and of a launch the choices, keys and values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from irm_sweeps.errors import UserError

SHELLS = ("bash", "zsh", "fish")

_ZSH_READY = """\
if [[ -n "${ZSH_VERSION-}" ]] && ! whence compdef > /dev/null; then
    autoload -Uz compinit && compinit -i
fi
"""
"""A zsh whose owner has not set up completion has no `compdef`, which argcomplete's code calls."""


def script(shell: str) -> str:
    """Return what a shell has to evaluate once, to ask `irm-sweeps` from then on."""
    from argcomplete.shell_integration import shellcode

    code = str(shellcode(["irm-sweeps"], shell=shell))
    return code if shell == "fish" else _ZSH_READY + code


def answer(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that is asking, and exit."""
    import argcomplete

    argcomplete.autocomplete(parser)


def overrides(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return how an override can go on: groups, choices, keys, present values; within a comma list, the last one."""
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from irm_sweeps.compose import hydra_initialized, own_conf_dir

    before, comma, rest = prefix.rpartition(",")
    key = before.partition("=")[0]
    asked = f"{key}={rest}" if comma else prefix
    own = own_conf_dir()
    words = [] if own is None else [f"hydra.searchpath=['file://{own}']"]
    words += [word for word in parsed_args.overrides or [] if "," not in word]
    with hydra_initialized() as hydra:
        plugin = DefaultCompletionPlugin(hydra.config_loader())
        found = plugin._query(config_name="config", line=" ".join([*words, asked]))
    return [f"{before},{word[len(key) + 1 :]}" for word in found] if comma else found


def sweeps(parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return the names of the store's sweeps."""
    from irm_sweeps.store.manifest import sweep_names
    from irm_sweeps.store.store import Store

    try:
        return sweep_names(Store(parsed_args.results.absolute()))
    except UserError:
        return []


def trials(parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return the ids of the store's trials."""
    from irm_sweeps.store.store import Store

    try:
        return Store(parsed_args.results.absolute()).trial_ids()
    except (OSError, UserError):
        return []
