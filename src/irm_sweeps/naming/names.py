"""Names of trials and of settings, in the words that a user types: `irmv1 lam=100 lr=0.1 seed=3`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.naming.leaves import leaves
from irm_sweeps.wording import written

_FLAGS = ("dataset.grayscale", "dataset.oracle")
"""Keys that are part of a name where they are true: they make another task of a method's."""
_ABSENT: Any = object()
"""In place of the value of a key that a component does not have."""


def label(config: Mapping[str, Any]) -> str:
    """Return a trial's short readable name, e.g. `irmv1 lam=100 seed=3`."""
    return with_seed(setting_names([config])[0], config)


def with_seed(setting: str, config: Mapping[str, Any]) -> str:
    """Return the name of a trial, given that of its setting."""
    return f"{setting} seed={config['seed']}"


def setting_names(configs: Sequence[Mapping[str, Any]], also: Collection[str] = ()) -> list[str]:
    """Return for each config a name of all but its seed, the same for configs that are the same but for the seed.

    It is the choice of the method, `lam`, and every key in which the configs vary, under the shortest names that are
    no other key's. A key that follows from a choice is left out: a component's keys vary where components of the same
    choice differ in them, and all keys but the choices where configs of the same method do.

    Parameters
    ----------
    configs
        Whole configs: every field has its value, also at its default.
    also
        Dotted keys that are named in any case, e.g. those that a search varies.
    """
    parts: dict[tuple[str, str], _Part] = {}
    rows = []
    for config in configs:
        row = {group: (group, repr(values)) for group, values in config.items() if group != "seed"}
        for group, key in row.items():
            if key not in parts:  # the configs of a sweep share most of their parts
                parts[key] = _Part.of(group, config[group])
        rows.append(row)
    _tell_classes_apart([part for part in parts.values() if part.target])
    known = {key for part in parts.values() for key in part.values}.union(COMPONENTS)
    varying = _varying(rows, parts)
    shown = {method: (keys | known.intersection(also)) - {"lam", "method"} for method, keys in varying.items()}
    short = _short_keys(set().union(*shown.values()), known | {"lam", "seed"})
    of_method = {m: {key: name for key, name in short.items() if key in keys} for m, keys in shown.items()}

    @cache
    def words(method: str, key: tuple[str, str]) -> tuple[list[str], list[str]]:
        return parts[key].first_words(of_method[method]), parts[key].other_words(of_method[method])

    names = []
    for row in rows:
        own = {group: words(parts[row["method"]].choice, row[group]) for group in sorted(row, key=_place)}
        first = [own[group][0] for group in ("method", "dataset", "lam") if group in own]
        names.append(" ".join(chain(*first, *(others for _, others in own.values()))))
    return names


@dataclass
class _Part:
    """One entry of a config: a component with the name that chooses it, or the values of another key."""

    group: str
    values: Mapping[str, Any]
    target: str = ""
    choice: str = ""

    @classmethod
    def of(cls, group: str, own: Any) -> _Part:
        values = {key: value for key, value in leaves({group: own}) if key != f"{group}._target_"}
        if group not in COMPONENTS:
            return cls(group, values)
        return cls(group, values, str(own["_target_"]), choice_name(group, own))

    def first_words(self, short: Mapping[str, str]) -> list[str]:
        """Return what a name has of it in any case; `short` has the keys that are shown besides."""
        if self.group == "method":
            return [self.choice]
        if self.group == "lam":
            return [] if self.values["lam"] is None else [f"lam={written(self.values['lam'])}"]
        return [key.rpartition(".")[2] for key in _FLAGS if self.values.get(key) is True and key not in short]

    def other_words(self, short: Mapping[str, str]) -> list[str]:
        """Return the keys that are shown, under their short names."""
        chosen = [f"{self.group}={self.choice}"] if self.group in short and self.choice else []
        return chosen + [f"{short[key]}={written(self.values[key])}" for key in sorted(self.values) if key in short]


def _varying(
    rows: Iterable[Mapping[str, tuple[str, str]]], parts: Mapping[tuple[str, str], _Part]
) -> dict[str, set[str]]:
    """Return by choice of the method the groups whose choices vary, and the keys that vary within it and a choice."""
    groups = set()
    keys: dict[str, set[str]] = {}
    choices: dict[str, str] = {}
    first: dict[tuple[str, str, str], _Part] = {}
    for method, key in dict.fromkeys((parts[row["method"]].choice, key) for row in rows for key in row.values()):
        part = parts[key]
        if choices.setdefault(part.group, part.choice) != part.choice:
            groups.add(part.group)
        other = first.setdefault((method, part.group, part.choice), part).values
        differ = {key for key in other.keys() | part.values.keys() if not _same(other, part.values, key)}
        keys.setdefault(method, set()).update(differ)
    return {method: own | groups for method, own in keys.items()}


def _same(a: Mapping[str, Any], b: Mapping[str, Any], key: str) -> bool:
    return repr(a.get(key, _ABSENT)) == repr(b.get(key, _ABSENT))


def _tell_classes_apart(components: Collection[_Part]) -> None:
    """Give classes that would have the same name longer ones."""
    targets: dict[tuple[str, str], set[str]] = {}
    for part in components:
        targets.setdefault((part.group, part.choice), set()).add(part.target)
    longer = {key: _short_ends(same) for key, same in targets.items() if len(same) > 1}
    for part in components:
        if ends := longer.get((part.group, part.choice)):
            part.choice = ends[part.target]


def _short_ends(targets: Collection[str]) -> dict[str, str]:
    """Return for each import path of a class the shortest end of it, the same length for all, that is its own."""
    length = 1
    while True:
        short = {target: ".".join(target.split(".")[-length:]) for target in targets}
        if len(set(short.values())) == len(targets):
            return short
        length += 1


def _short_keys(keys: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return for each key the shortest end of it, in whole words, that is the end of no other known key."""
    short = {}
    for key in keys:
        words = key.split(".")
        ends = (".".join(words[-n:]) for n in range(1, len(words) + 1))
        others = [f".{other}" for other in known if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return short


def _place(group: str) -> int:
    """Return the place of a part in a name, which is that in a config."""
    return COMPONENTS.index(group) if group in COMPONENTS else len(COMPONENTS)
