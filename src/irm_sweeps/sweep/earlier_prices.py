"""The price of kinds of trial that the store has results of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import UserError, one_line
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.wording import count

LATEST = 5
"""Number of results, the latest of its kind, that price a trial; earlier ones had earlier code."""
TRIED = 200
"""Most results of equal classes and steps of which the kind is looked at, the latest first."""


@dataclass(frozen=True)
class EarlierPrice:
    """The seconds of a trial, from and to, and the results that say so."""

    seconds: tuple[float, float]
    basis: str


def earlier_prices(
    store: Store, kinds: Mapping[str, Sequence[Trial]], on_gpu: bool, compiled: Collection[str]
) -> dict[str, EarlierPrice]:
    """Return the price of those kinds that have completed results on such a device; `compiled`: the compiled kinds."""
    wanted: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for key, trials in kinds.items():
        wanted[_outline(trials[0].canonical)].add(key)
    candidates: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for result in store.results():
        if isinstance(result, Problem) or result.status != "completed" or result.seconds is None:
            continue
        if (result.hardware.device == "cuda") != on_gpu:
            continue
        if (outline := _outline(result.config)) in wanted:
            candidates[outline].append(result)
    found: dict[str, EarlierPrice] = {}
    for outline, results in candidates.items():
        results.sort(key=lambda result: result.timing.finished or "", reverse=True)
        for key, latest in _latest(results[:TRIED], wanted[outline], compiled).items():
            seconds = [result.seconds or 0.0 for result in latest]
            found[key] = EarlierPrice((min(seconds), max(seconds)), _basis(latest))
    return found


def _outline(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what trials of one kind have in common, read off a config: their classes and steps."""
    targets = (config[group].get("_target_") for group in COMPONENTS)
    return (*targets, config["training"].get("steps"))


def _latest(results: Sequence[Result], wanted: Collection[str], compiled: Collection[str]) -> dict[str, list[Result]]:
    """Return the latest results of each wanted kind; `results` begins with the latest."""
    latest: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if all(len(latest[key]) == LATEST for key in wanted):
            break
        try:
            key = Trial.from_config(result.config, trusted=False).kind
        except UserError:
            continue  # a user's own method that cannot be imported here, or another version's trial
        if result.provenance.compiled == (key in compiled) and key in wanted and len(latest[key]) < LATEST:
            latest[key].append(result)
    return {key: found for key, found in latest.items() if found}


def _basis(results: Sequence[Result]) -> str:
    """Return e.g. `5 results here on cpu, the latest 0094c562 of 2026-11-29`."""
    latest = results[0]
    day = f" of {one_line(latest.timing.finished)[:10]}" if latest.timing.finished else ""
    which = f"the latest {latest.trial_id[:8]}{day}" if len(results) > 1 else f"{latest.trial_id[:8]}{day}"
    return f"from {count(len(results), 'result')} in this store, {which}"
