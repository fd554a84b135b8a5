"""What the Tab key offers for an argument: overrides of a launch, sweeps and trials of a store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from irm_sweeps.errors import UserError


def overrides(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return how an override can go on: groups, choices, keys, present values; within a comma list, the last one."""
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from irm_sweeps.compose import hydra_initialized, own_conf_dir

    before, comma, rest = prefix.rpartition(",")
    key = before.partition("=")[0]
    to_complete = f"{key}={rest}" if comma else prefix
    user_conf = own_conf_dir()
    words = [] if user_conf is None else [f"hydra.searchpath=['file://{user_conf}']"]
    words += [word for word in parsed_args.overrides or [] if "," not in word]
    with hydra_initialized() as hydra:
        plugin = DefaultCompletionPlugin(hydra.config_loader())
        completed = plugin._query(config_name="config", line=" ".join([*words, to_complete]))
    return [f"{before},{word[len(key) + 1 :]}" for word in completed] if comma else completed


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
