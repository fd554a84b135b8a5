"""Names of trials and of settings, in the words that a user types: `irmv1 lam=100 lr=0.1 seed=3`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.choices import choice_name
from irm_sweeps.compose import COMPONENTS, leaves
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
    no other key's. A component's keys vary where components of the same choice differ in them: those that follow from
    the choice are left out.

    Parameters
    ----------
    configs
        Whole configs: every field has its value, also at its default.
    also
        Dotted keys that are named in any case, e.g. those that a search varies.
    """
    choices = _distinct_choices(configs)
    flat = [_Flat.of(config, own) for config, own in zip(configs, choices, strict=True)]
    keys = _varying(flat)
    keys.update(key for key in also if key in COMPONENTS or any(key in config.values for config in flat))
    keys -= {"lam", "method"}
    short = _short_keys(keys, {"lam", "seed", *(key for config in flat for key in config.values), *COMPONENTS})
    return [config.name(short) for config in flat]


@dataclass(frozen=True)
class _Flat:
    """A config's choices by group, and its other values by dotted key, without the seed."""

    choices: Mapping[str, str]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any], choices: Mapping[str, str]) -> _Flat:
        values = {key: value for key, value in leaves(config) if key != "seed" and not key.endswith("._target_")}
        return cls(choices, values)

    def part(self, key: str) -> str:
        """Return what a key belongs to: `method=irmv1`, or for a key that every trial has its group."""
        group = key.partition(".")[0]
        return f"{group}={self.choices[group]}" if group in self.choices else group

    def name(self, short: Mapping[str, str]) -> str:
        """Return the config's name; `short` has the keys to show, in order, and how they are shown."""
        lam = self.values.get("lam")
        words = [self.choices["method"]]
        words += [key.rpartition(".")[2] for key in _FLAGS if self.values.get(key) is True and key not in short]
        words += [] if lam is None else [f"lam={written(lam)}"]
        for key, end in short.items():
            if key in COMPONENTS:
                words.append(f"{end}={self.choices[key]}")
            elif key in self.values:
                words.append(f"{end}={written(self.values[key])}")
        return " ".join(words)


def _varying(flat: Sequence[_Flat]) -> set[str]:
    """Return the groups whose choices vary, and the keys that vary within a choice."""
    keys = {group for group in COMPONENTS if len({config.choices[group] for config in flat}) > 1}
    by_part: dict[str, dict[str, Any]] = {}
    for config in flat:
        own: dict[str, dict[str, Any]] = {}
        for key, value in config.values.items():
            own.setdefault(config.part(key), {})[key] = value
        for part, values in own.items():
            first = by_part.setdefault(part, values)
            keys.update(key for key in first.keys() | values.keys() if not _same(first, values, key))
    return keys


def _same(first: Mapping[str, Any], other: Mapping[str, Any], key: str) -> bool:
    a, b = first.get(key, _ABSENT), other.get(key, _ABSENT)
    return bool(a == b) and type(a) is type(b)


def _distinct_choices(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return each config's choices by group; classes that would have the same name get longer ones."""
    choices = [{group: choice_name(group, config[group]) for group in COMPONENTS} for config in configs]
    for group in COMPONENTS:
        targets: dict[str, set[str]] = {}
        for own, config in zip(choices, configs, strict=True):
            targets.setdefault(own[group], set()).add(str(config[group]["_target_"]))
        for name, same in targets.items():
            if len(same) > 1:
                longer = _short_ends(same)
                for own, config in zip(choices, configs, strict=True):
                    own[group] = longer[str(config[group]["_target_"])] if own[group] == name else own[group]
    return choices


def _short_ends(targets: Collection[str]) -> dict[str, str]:
    """Return for each import path of a class the shortest end of it, the same length for all, that is its own."""
    length = 1
    while True:
        short = {target: ".".join(target.split(".")[-length:]) for target in targets}
        if len(set(short.values())) == len(targets):
            return short
        length += 1


def _short_keys(keys: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return for each key the shortest end of it, in whole words, that is the end of no other known key.

    They are in the order of a config: dataset, backbone, method, optimizer, training.
    """
    short = {}
    for key in sorted(keys, key=_place_in_config):
        words = key.split(".")
        ends = (".".join(words[-n:]) for n in range(1, len(words) + 1))
        others = [f".{other}" for other in known if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return short


def _place_in_config(key: str) -> tuple[int, str]:
    group = key.partition(".")[0]
    return (COMPONENTS.index(group) if group in COMPONENTS else len(COMPONENTS), key)
