"""From the store to a cell: what is known of each of its trials, and the setting that speaks for it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from irm_sweeps.analysis.histories import BySplit
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.store.result import Evaluation, Result
    from irm_sweeps.trial import Trial

Status = Literal[
    "measured", "missing", "unreadable", "diverged", "failed", "unselected", "unknown metric", "not finite"
]
"""`unselected`: the selection rule has nothing to say of the trial. The last two concern the one metric."""


@dataclass(frozen=True)
class Reading:
    """What the store says of one trial under one selection rule and metric.

    Attributes
    ----------
    value
        Risk, or accuracy in [0, 1]; None unless `measured`.
    validation
        Mean accuracy, or in a regression minus the mean risk, over the validation environments under the rule;
        None where there are none.
    detail
        What went wrong, in a few words.
    """

    trial: Trial
    status: Status
    value: float | None = None
    validation: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Setting:
    """Trials that differ in nothing but the seed.

    Attributes
    ----------
    differs
        The config keys that set it apart from the cell's other settings, with its values.
    """

    differs: Mapping[str, Any]
    readings: Sequence[Reading]

    @property
    def values(self) -> list[float]:
        """The measured values."""
        return [r.value for r in self.readings if r.value is not None]

    @property
    def by_seed(self) -> dict[int, float]:
        """The measured values by their trial's seed."""
        return {r.trial.seed: r.value for r in self.readings if r.value is not None}


class Results:
    """Results of one or several stores, each read once; a completed one is preferred.

    Attributes
    ----------
    problems
        One line for every store that is not there and every file met so far that is damaged or may not be read.
    unreadable
        The trials met so far that have a result which may not be read, and none that may.
    """

    def __init__(self, stores: Iterable[Path]) -> None:
        from irm_sweeps.files.reading import is_there
        from irm_sweeps.store.store import Store

        self._stores = [Store(root) for root in stores]
        self._found: dict[str, Result | None] = {}
        self._stores_of: dict[str, Path] = {}
        self.unreadable: set[str] = set()
        self.problems = [f"{store.root}: no such store" for store in self._stores if not is_there(store.root)]

    def of(self, trial_id: str) -> Result | None:
        """Return the trial's result, or None if no store has one that can be read."""
        if trial_id not in self._found:
            self._found[trial_id] = self._look(trial_id)
        return self._found[trial_id]

    def scores(self, trial_id: str, rule: str) -> BySplit:
        """Return a trial's scores under a selection rule, by split and environment; none where there are none."""
        result = self.of(trial_id)
        return {} if result is None else result.scores(rule)

    def store_of(self, trial_id: str) -> Path:
        """Return the store that holds the result of a trial that has one."""
        return self._stores_of[trial_id]

    def everything(self) -> list[Result]:
        """Return the result of every trial in the stores."""
        ids = sorted({trial_id for store in self._stores for trial_id in store.trial_ids()})
        return [result for result in map(self.of, ids) if result is not None]

    def _look(self, trial_id: str) -> Result | None:
        from irm_sweeps.files.reading import DamagedFile, UnreadableFile

        best, unreadable = None, False
        for store in self._stores:
            try:
                result = store.result(trial_id)
            except DamagedFile as damage:
                self.problems.append(str(damage))
                unreadable = unreadable or isinstance(damage, UnreadableFile)
                continue
            if result is not None and (best is None or result.status == "completed"):
                best, self._stores_of[trial_id] = result, store.root
                if result.status == "completed":
                    break
        if best is None and unreadable:
            self.unreadable.add(trial_id)
        return best


def read(trial: Trial, results: Results, rule: str, metric: str) -> Reading:
    """Return what is known of a trial's `split/environment/measure` under a selection rule."""
    from irm_sweeps.errors import one_line

    result = results.of(trial.id)
    if result is None:
        return Reading(trial, "unreadable" if trial.id in results.unreadable else "missing")
    if result.status == "diverged":
        return Reading(trial, "diverged", detail=result.divergence)
    if result.error is not None:
        return Reading(trial, "failed", detail=one_line(result.error.message) or "no message")
    if rule not in result.metrics:
        return Reading(trial, "unselected")
    evaluation = result.metrics[rule]
    split, environment, measure = parts(metric)
    try:
        values = evaluation.values(split, measure, None if environment == "mean" else environment)
    except KeyError:
        known = (f"{s}/{e}/{measure}" for s, e, scores in evaluation.environments() if measure in scores.measures)
        return Reading(trial, "unknown metric", detail=f"(has {one_line(', '.join(known))})")
    finite = [value for value in values if value is not None]
    if not finite or len(finite) < len(values):
        return Reading(trial, "not finite")
    return Reading(trial, "measured", fmean(finite), _validation(evaluation))


def _validation(evaluation: Evaluation) -> float | None:
    merits = [scores.merit for scores in evaluation.scores.get("val", {}).values()]
    return sum(merits) / len(merits) if merits else None


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
    every = dict.fromkeys(key for own in flat.values() for key in own)
    keys = [key for key in every if _several(key, flat.values())]
    return [Setting({k: flat[text][k] for k in keys if k in flat[text]}, groups[text]) for text in groups]


def _several(key: str, configs: Iterable[Mapping[str, Any]]) -> bool:
    return len({json.dumps(config[key]) if key in config else None for config in configs}) > 1


def contenders(candidates: Sequence[Setting]) -> list[Setting]:
    """Return the settings with the most seeds that have a value, in the order of the grid; none if none has any.

    What a seed lacks a value for counts alike. A seed that diverged, or for which the rule has nothing to say, is an
    outcome of its setting, whose mean over the other seeds would flatter it; one that is missing or failed can still
    be run, and until then the two means are over unequal numbers of seeds.
    """
    most = max((len(setting.values) for setting in candidates), default=0)
    return [setting for setting in candidates if most and len(setting.values) == most]


def choose(candidates: Sequence[Setting], rule: str, metric: str) -> Setting | None:
    """Return the setting that speaks for a cell: of the `contenders`, the best by `rules.SETTINGS`; None without any.

    The first of equals wins, in the order of the grid.
    """
    sign = -1.0 if parts(metric)[2] == "risk" else 1.0

    def merit(setting: Setting) -> float:
        if rule == "val":
            own = [r.validation for r in setting.readings if r.value is not None]
            return sum(-math.inf if value is None else value for value in own) / len(own)
        return sign * fmean(setting.values)

    return max(contenders(candidates), key=merit, default=None)
