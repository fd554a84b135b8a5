"""The keys in which trials differ, and names that tell the trials of one sweep apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from irm_sweeps.compose import COMPONENTS, facts
from irm_sweeps.wording import label, written

if TYPE_CHECKING:
    from irm_sweeps.trial import Trial

_ABSENT: Any = object()
"""In place of the value of a key that a trial's classes do not have."""


def differences(trials: Sequence[Trial], also: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return each trial's values of the keys in which the trials differ, and of the keys `also`.

    Keys are dotted, by group and name; the key of a component (`dataset`) has its class. A field's default,
    which a trial's canonical config leaves out, is a value like any other. A key that a trial's classes do not have is
    left out.
    """
    flat = [facts(trial.canonical) for trial in trials]
    keys = {key for own in flat for key in own}
    order = list(type(trials[0]).model_fields) if trials else []
    shown = [key for key in {*keys, *also} if key in also or _differ(key, flat)]
    shown.sort(key=lambda key: (order.index(group) if (group := key.partition(".")[0]) in order else len(order), key))
    rows = []
    for trial, own in zip(trials, flat, strict=True):
        values = ((key, own[key] if key in own else _field(trial, key)) for key in shown)
        rows.append({key: value for key, value in values if value is not _ABSENT})
    return rows


def _differ(key: str, flat: Sequence[Mapping[str, Any]]) -> bool:
    first = flat[0].get(key, _ABSENT)
    others = (own.get(key, _ABSENT) for own in flat)
    return any(other != first or type(other) is not type(first) for other in others)


def _field(trial: Trial, key: str) -> Any:
    """Return the value of a field that a trial's canonical config leaves out, as plain JSON."""
    node: Any = trial
    for part in key.split("."):
        if isinstance(node, BaseModel) and part in type(node).model_fields:
            node = getattr(node, part)
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        else:
            return _ABSENT
    return to_jsonable_python(node, by_alias=True)


def labels(trials: Mapping[str, Trial], also: Collection[str] = ()) -> dict[str, str]:
    """Return a name for each trial of a sweep, by id: `ERM lr=0.1 l2=0 seed=0`.

    It is the trial's short name (`irm_sweeps.wording.label`), and of the keys that vary within the sweep those without
    which two trials would have the same name, under the shortest names that are no other key's. So keys that follow
    from the class of a component, or from keys that are named, are left out.

    Parameters
    ----------
    also
        Keys that are named in any case, e.g. those that a search varies.
    """
    bases = [label(trial.canonical) for trial in trials.values()]
    named = {key for key in also if key not in ("lam", "seed", "method")}
    rows = differences(list(trials.values()), named) if trials else []
    keys = _telling(bases, rows, named)
    if not keys:
        return dict(zip(trials, bases, strict=True))
    short = _short_keys(keys, {*_keys(trials.values()), *keys})
    classes = {key: _short_classes({row[key] for row in rows if key in row}) for key in keys if key in COMPONENTS}
    names = {}
    for trial_id, base, row in zip(trials, bases, rows, strict=True):
        start, _, seed = base.rpartition(" ")
        own = {key: classes[key][row[key]] if key in classes else written(row[key]) for key in keys if key in row}
        names[trial_id] = " ".join([start, *(f"{short[key]}={value}" for key, value in own.items()), seed])
    return names


def _telling(bases: Sequence[str], rows: Sequence[Mapping[str, Any]], named: Collection[str]) -> list[str]:
    """Return the keys that names need: those that tell apart trials which the keys before them do not."""
    varying = dict.fromkeys(key for row in rows for key in row if key not in ("lam", "seed"))
    groups: list[Any] = list(bases)
    n = len(set(groups))
    chosen = []
    for key in sorted(varying, key=lambda key: (key not in named, key not in COMPONENTS)):
        finer = [(group, written(row[key]) if key in row else None) for group, row in zip(groups, rows, strict=True)]
        numbers = {group: i for i, group in enumerate(dict.fromkeys(finer))}
        if key in named or len(numbers) > n:
            chosen.append(key)
            groups, n = [numbers[group] for group in finer], len(numbers)
    return sorted(chosen, key=list(varying).index)


def _keys(trials: Iterable[Trial]) -> set[str]:
    """Return every key of the trials."""
    return {"lam", "seed"}.union(*(facts(trial.canonical) for trial in trials))


def _short_keys(keys: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Return for each key the shortest end of it, in whole words, that is the end of no other known key."""
    short = {}
    for key in keys:
        words = key.split(".")
        ends = (".".join(words[-n:]) for n in range(1, len(words) + 1))
        others = [f".{other}" for other in known if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return short


def _short_classes(targets: Collection[str]) -> dict[str, str]:
    """Return for each import path of a class the shortest end of it, the same length for all, that is its own."""
    length = 1
    while True:
        short = {target: ".".join(target.split(".")[-length:]) for target in targets}
        if len(set(short.values())) == len(targets):
            return short
        length += 1
