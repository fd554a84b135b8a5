"""Hyperparameter settings: the trials of a cell that differ only in the seed, and the setting that a cell shows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from irm_sweeps.analysis.readings import Reading
from irm_sweeps.sweep.metric import parts


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
    def by_seed(self) -> dict[int, float]:
        """The measured values by seed."""
        return {reading.trial.seed: reading.value for reading in self.readings if reading.value is not None}


def settings(readings: Sequence[Reading]) -> list[Setting]:
    """Group a cell's readings into settings, in the order of the grid."""
    from irm_sweeps.compose import facts

    groups: dict[str, list[Reading]] = {}
    configs: dict[str, dict[str, Any]] = {}
    for reading in readings:
        config = {key: value for key, value in reading.trial.canonical.items() if key != "seed"}
        text = json.dumps(config, sort_keys=True)
        groups.setdefault(text, []).append(reading)
        configs.setdefault(text, config)
    flat = {text: facts(config) for text, config in configs.items()}
    all_keys = dict.fromkeys(key for config in flat.values() for key in config)
    keys = [key for key in all_keys if _differs(key, flat.values())]
    return [Setting({k: flat[text][k] for k in keys if k in flat[text]}, groups[text]) for text in groups]


def _differs(key: str, configs: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether configs have several values of a key; a config without the key has a value of its own."""
    return len({json.dumps(config[key]) if key in config else None for config in configs}) > 1


def contenders(candidates: Sequence[Setting]) -> list[Setting]:
    """Return the settings with the most seeds that have a value, in the order of the grid; none without any value.

    It does not matter why a seed has no value. A seed that diverged, or of which the rule chose no evaluation, is an
    outcome of its setting, and the mean over the other seeds would flatter the setting. A seed that is missing or
    failed can still be run; until then the means of two settings are over unequal numbers of seeds.
    """
    most = max((len(setting.values) for setting in candidates), default=0)
    return [setting for setting in candidates if most and len(setting.values) == most]


def choose(candidates: Sequence[Setting], rule: str, metric: str) -> Setting | None:
    """Return the setting that a cell shows: the best of the `contenders` by `selection_rules.SETTINGS`, else None.

    Of equal settings it is the first in the order of the grid.
    """
    sign = -1.0 if parts(metric)[2] == "risk" else 1.0

    def merit(setting: Setting) -> float:
        if rule == "val":
            merits = [reading.validation for reading in setting.readings if reading.value is not None]
            return sum(-math.inf if value is None else value for value in merits) / len(merits)
        return sign * fmean(setting.values)

    return max(contenders(candidates), key=merit, default=None)
