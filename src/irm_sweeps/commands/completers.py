"""What the Tab key offers for an argument: overrides of a launch, sweeps and trials of a store."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

from irm_sweeps.errors import UserError

MOST_CHOICES = 12
"""Most combinations of swept groups that one press of Tab looks at; each takes about 0.1 s."""


def overrides(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return how an override can go on: groups, choices, keys, present values; within a comma list, the last one."""
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from irm_sweeps.compose import hydra_initialized
    from irm_sweeps.conf_folders import search_path

    before, comma, rest = prefix.rpartition(",")
    key = before.partition("=")[0]
    to_complete = f"{key}={rest}" if comma else prefix
    with hydra_initialized() as hydra:
        plugin = DefaultCompletionPlugin(hydra.config_loader())
        answers = [
            plugin._query(config_name="config", line=_Line("\0".join([*search_path(), *words, to_complete])))
            for words in _single_choices(parsed_args.overrides or [], to_complete)
        ]
    completed = _of_all(answers)
    return [f"{before},{word[len(key) + 1 :]}" for word in completed] if comma else completed


class _Line(str):
    """A command line for Hydra, which splits it at spaces: these words stay whole, though a path has spaces in it."""

    def split(self, *_: Any) -> list[str]:
        """Return the words, which are joined by zeros: no word of a command line has one."""
        return super().split("\0") if self else []


def _single_choices(overrides: Sequence[str], to_complete: str) -> Iterator[list[str]]:
    """Yield the overrides without a sweep, once for each choice of the swept groups that `to_complete` depends on.

    Those are the group of its key, and the protocol, which changes the groups' defaults. Of any other swept key the
    first value stands for all.
    """
    group = to_complete.lstrip("+~").partition("=")[0].rpartition(".")[0]
    alternatives = []
    for override in overrides:
        if not (choices := _choices(override)):
            continue
        key = override.lstrip("+~").partition("=")[0].replace("/", ".")
        decides = key == "protocol" or f"{group}.".startswith(f"{key}.")
        alternatives.append(choices if decides else choices[:1])
    for words in islice(product(*alternatives), MOST_CHOICES):
        yield list(words)


def _choices(override: str) -> list[str]:
    """Return an override for each value of a swept one, or the override itself; none where it cannot be read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
        if not parsed.is_sweep_override():
            return [override]
        if not parsed.is_discrete_sweep():
            return []
        start = override.partition("=")[0]
        return [f"{start}={text}" for text in islice(parsed.sweep_string_iterator(), MOST_CHOICES)]
    except (HydraException, ValueError, TypeError):
        return []


def _of_all(answers: Sequence[Sequence[str]]) -> list[str]:
    """Return the candidates whose key every answer has: a sweep refuses a key that one of its choices lacks."""
    keys = [{_key(word) for word in answer} for answer in answers]
    common = set.intersection(*keys) if keys else set()
    return list(dict.fromkeys(word for answer in answers for word in answer if _key(word) in common))


def _key(candidate: str) -> str:
    return candidate.partition("=")[0]


def sweeps(parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return the names of the store's sweeps."""
    from irm_sweeps.store.store import Store
    from irm_sweeps.store.sweeps import sweep_names

    try:
        return sweep_names(Store(parsed_args.results))
    except UserError:
        return []


def trials(parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Return the ids of the store's trials."""
    from irm_sweeps.store.archive import open_reader

    try:
        return open_reader(parsed_args.results).trial_ids()
    except (OSError, UserError):
        return []


def papers(**_: object) -> Sequence[str]:
    """Return the names of all paper files."""
    from irm_sweeps.analysis.paper_files import paper_names

    return paper_names()


def loggers(**_: object) -> Sequence[str]:
    """Return the names of all loggers that write something."""
    from irm_sweeps.conf_folders import yamls

    return [path.stem for path in yamls("logger") if path.stem != "none"]
