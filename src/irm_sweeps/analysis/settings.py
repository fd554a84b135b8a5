"""Hyperparameter settings: the trials of a cell that differ only in the seed, and the setting that a cell shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from irm_sweeps.analysis.readings import Reading
from irm_sweeps.sweep.metric import is_lower_better


@dataclass(frozen=True)
class Setting:
    """The readings of trials that differ only in the seed.

    Attributes
    ----------
    differs
        The config keys in which the cell's settings differ, with this setting's values.
    """

    differs: Mapping[str, Any]
    readings: Sequence[Reading]

    @property
    def values(self) -> list[float]:
        """The measured values."""
        return [reading.value for reading in self.readings if reading.value is not None]

    @property
    def lost(self) -> int:
        """Number of seeds that have run and have no value: failed, diverged, or without a chosen evaluation."""
        return sum(reading.value is None and reading.status != "missing" for reading in self.readings)

    @property
    def by_seed(self) -> dict[int, float]:
        """The measured values by seed."""
        return {reading.trial.seed: reading.value for reading in self.readings if reading.value is not None}


def settings(readings: Sequence[Reading]) -> list[Setting]:
    """Group a cell's readings into settings, in the order of the grid."""
    from irm_sweeps.sweep.labels import differences

    groups: dict[str, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.trial.setting_text, []).append(reading)
    differing_values = differences([group[0].trial for group in groups.values()])
    return [
        Setting({key: value for key, value in values.items() if key != "seed"}, group)
        for values, group in zip(differing_values, groups.values(), strict=True)
    ]


def contenders(candidates: Sequence[Setting]) -> list[Setting]:
    """Return the settings that a cell chooses among, in the order of the grid; none if it cannot choose.

    Those are the settings of which every seed has a value. A seed that failed or diverged, or of which the rule chose
    no evaluation, is an outcome of its setting, and the mean over the other seeds would flatter the setting. While no
    setting is complete, those are compared that only wait for seeds, of these the ones with the most values. A single
    setting is no choice: it is shown with the values that it has.
    """
    measured = [setting for setting in candidates if setting.values]
    complete = [setting for setting in measured if len(setting.values) == len(setting.readings)]
    if complete or len(candidates) == 1:
        return complete or measured
    waiting = [setting for setting in measured if not setting.lost]
    most = max((len(setting.values) for setting in waiting), default=0)
    return [setting for setting in waiting if len(setting.values) == most]


def choose(candidates: Sequence[Setting], rule: str, metric: str) -> Setting | None:
    """Return the setting that a cell shows: the best of the `contenders` by `selection_rules.SETTINGS`, else None.

    Of equal settings it is the first in the order of the grid.
    """
    sign = -1.0 if is_lower_better(metric) else 1.0

    def merit(setting: Setting) -> float:
        if rule == "val":
            merits = [reading.validation for reading in setting.readings if reading.value is not None]
            return sum(-math.inf if value is None else value for value in merits) / len(merits)
        return sign * fmean(setting.values)

    return max(contenders(candidates), key=merit, default=None)
