"""The rows of a sweep's table: its settings, the seeds of each pooled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.histories import BySplit
from irm_sweeps.analysis.readings import Results, Status, state
from irm_sweeps.analysis.statistics.two_means import Summary, summarize
from irm_sweeps.analysis.sweeps.environment_groups import (
    Datasets,
    EnvironmentColumn,
    Environments,
    columns,
    environments,
    value,
)

if TYPE_CHECKING:
    from irm_sweeps.analysis.sweeps.trials import SweepTrials

STATES: Mapping[Status, str] = {
    "failed": "failed",
    "diverged": "diverged",
    "missing": "not run",
    "unreadable": "not readable",
    "unselected": "not selected",
    "not finite": "not finite",
}
"""Why a seed has no value -> how a row says it, in the order in which it does."""


@dataclass(frozen=True)
class SettingRow:
    """One setting: the trials that differ only in the seed.

    Attributes
    ----------
    name
        What varies within the sweep, as it was typed.
    dataset
        Config of the dataset. Settings of one dataset config can be ranked.
    states
        Number of trials by state.
    measure
        `accuracy`, in per cent, or of a regression `risk`; None if nothing is measured.
    values
        By column: a number for each measured seed, in the order of the grid.
    seeds
        By column: the seeds that these are of.
    """

    name: str
    dataset: Mapping[str, Any]
    states: Mapping[Status, int]
    measure: str | None = None
    values: Mapping[EnvironmentColumn, Sequence[float]] = field(default_factory=dict)
    seeds: Mapping[EnvironmentColumn, Sequence[int]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of measured seeds."""
        return self.states.get("measured", 0)

    @property
    def is_complete(self) -> bool:
        """Whether all its seeds are measured: only then it is ranked."""
        return set(self.states) == {"measured"}

    @property
    def decimals(self) -> int:
        """Number of printed digits after the point."""
        return 3 if self.measure == "risk" else 1

    @property
    def losses(self) -> str:
        """The seeds without a value: `1 failed, 2 diverged`; empty without any."""
        return ", ".join(f"{n} {word}" for state, word in STATES.items() if (n := self.states.get(state, 0)))

    def summary(self, column: EnvironmentColumn) -> Summary | None:
        """Return the mean over the measured seeds; None without any, or if the setting has no such environment."""
        values = self.values.get(column)
        return summarize(values) if values else None


@dataclass(frozen=True)
class _Seed:
    """One trial's scores under the table's selection rule; empty if it has none."""

    state: Status
    number: int = 0
    scores: BySplit = field(default_factory=dict)
    environments: Environments = field(default_factory=dict)

    @property
    def measure(self) -> str:
        """What is shown of it."""
        training = self.scores.get("train", {}).values()
        return "accuracy" if all("accuracy" in scores.measures for scores in training) else "risk"

    def value(self, column: EnvironmentColumn) -> float | None:
        """Return its number in a column."""
        return value(column, self.scores, self.environments, self.measure)


def rows(
    sweep: SweepTrials, results: Results, rule: str, datasets: Datasets
) -> tuple[list[SettingRow], list[EnvironmentColumn]]:
    """Return the settings of a sweep in the order of the grid, and the columns of their table."""
    trials: dict[str, list[str]] = {}
    for trial_id, setting in sweep.settings.items():
        trials.setdefault(json.dumps(setting, sort_keys=True), []).append(trial_id)
    datasets_of = {trial_id: setting["dataset"] for trial_id, setting in sweep.settings.items()}
    seeds = {trial_id: _seed(trial_id, dataset, results, rule, datasets) for trial_id, dataset in datasets_of.items()}
    shown = columns(seed.environments for seed in seeds.values() if seed.environments)
    return [
        _row(sweep.names[ids[0]], datasets_of[ids[0]], [seeds[trial_id] for trial_id in ids], shown)
        for ids in trials.values()
    ], shown


def _seed(trial_id: str, dataset: Mapping[str, Any], results: Results, rule: str, datasets: Datasets) -> _Seed:
    result = results.of(trial_id)
    status = state(result, rule, unreadable=trial_id in results.unreadable)
    if result is None or status != "measured":
        return _Seed(status)
    scores = result.scores(rule)
    seed = _Seed(status, int(result.config["seed"]), scores, environments(scores, datasets.shifted(dataset)))
    is_finite = all(seed.value(EnvironmentColumn(group)) is not None for group in seed.environments)
    return seed if is_finite else replace(seed, state="not finite")


def _row(
    name: str, dataset: Mapping[str, Any], seeds: Sequence[_Seed], shown: Sequence[EnvironmentColumn]
) -> SettingRow:
    measured = [seed for seed in seeds if seed.state == "measured"]
    found = {
        column: [(seed.number, value) for seed in measured if (value := seed.value(column)) is not None]
        for column in shown
    }
    values = {column: [value for _, value in pairs] for column, pairs in found.items()}
    numbers = {column: [number for number, _ in pairs] for column, pairs in found.items()}
    measure = measured[0].measure if measured else None
    return SettingRow(name, dataset, Counter(seed.state for seed in seeds), measure, values, numbers)
