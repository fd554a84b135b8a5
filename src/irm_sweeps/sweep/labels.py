"""The keys in which the trials of one sweep differ, and names that tell them and their settings apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.naming.leaves import facts
from irm_sweeps.naming.names import setting_names, with_seed
from irm_sweeps.wording import written

if TYPE_CHECKING:
    from irm_sweeps.trial import Trial

_BATCH = "training.batch_size"
_HEADER = (("optimizer", "lr"), ("training", "steps"), ("training", "epochs"), ("training", "batch_size"))
"""The keys that a sweep's first lines say, besides the choices."""
_ABSENT: Any = object()
"""In place of the value of a key that a trial's classes do not have."""


def differences(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return each trial's values of the keys in which the trials differ.

    Keys are dotted, by group and name; the key of a component (`dataset`) has its class. A key that a trial's classes
    do not have is left out.
    """
    flat = [facts(trial.config) for trial in trials]
    keys = {key: None for own in flat for key in own}
    shown = [key for key in keys if _differ(key, flat)]
    order = list(type(trials[0]).model_fields) if trials else []
    shown.sort(key=lambda key: (order.index(group) if (group := key.partition(".")[0]) in order else len(order), key))
    return [{key: own[key] for key in shown if key in own} for own in flat]


def _differ(key: str, flat: Sequence[Mapping[str, Any]]) -> bool:
    first = flat[0].get(key, _ABSENT)
    others = (own.get(key, _ABSENT) for own in flat)
    return any(other != first or type(other) is not type(first) for other in others)


def labels(trials: Mapping[str, Trial], also: Collection[str] = ()) -> dict[str, str]:
    """Return a name for each trial of a sweep, by id: `erm lr=0.1 l2=0 seed=0`.

    It is the name of its setting (`setting_labels`) and the seed.
    """
    settings = setting_labels(trials, also)
    return {trial_id: with_seed(settings[trial_id], trial.config) for trial_id, trial in trials.items()}


def setting_labels(trials: Mapping[str, Trial], also: Collection[str] = ()) -> dict[str, str]:
    """Return by trial id the name of its setting within a sweep, `erm lr=0.1 l2=0`, which only its seeds share.

    It has the choice of the method and every key in which its trials vary, as `naming.names.setting_names` says.

    Parameters
    ----------
    also
        Keys that are named in any case, e.g. those that a search varies.
    """
    return dict(zip(trials, setting_names([setting_of(trial) for trial in trials.values()], also), strict=True))


def in_common(trials: Sequence[Trial]) -> str:
    """Return what all trials have of data set, backbone, optimizer, steps and batch, as it is typed.

    What varies is left out: it stands in the trials' names. So the answer may be empty.
    """
    rows = [_header(trial.config) for trial in trials]
    common = {key: value for key, value in rows[0].items() if all(row.get(key, _ABSENT) == value for row in rows)}
    words = [f"{key}={written(value)}" for key, value in common.items() if value is not None]
    return " ".join([*words, *([f"{_BATCH}=null (full batch)"] if common.get(_BATCH, 0) is None else [])])


def _header(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices of a config but for the method, and the values that a sweep's first lines say."""
    choices = {group: choice_name(group, config[group]) for group in COMPONENTS if group != "method"}
    values = {f"{group}.{name}": config[group][name] for group, name in _HEADER if name in config[group]}
    return {**choices, **values}


def setting_of(trial: Trial) -> dict[str, Any]:
    """Return a trial's config without the seed and the fields that say where something lies: equal within a setting."""
    config = {key: value for key, value in trial.config.items() if key != "seed"}
    for group in COMPONENTS:
        if places := getattr(trial, group).place_fields():
            config[group] = {key: value for key, value in config[group].items() if key not in places}
    return config
