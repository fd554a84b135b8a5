"""A config made from a known one by exchanging one choice, where this is what Hydra would compose in 0.1 s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from irm_sweeps.compose import COMPONENTS, conf_dir, own_conf_dir, yamls

_CHOICE = re.compile(rf"(?:{'|'.join(COMPONENTS)})=\w+", re.ASCII)
_FOR_HYDRA = re.compile(r"@package|\$\{")
_PROTOCOL = re.compile(r"^  - protocol: (\w+)", re.MULTILINE)


def in_one_order(words: Sequence[str]) -> tuple[str, ...]:
    """Return overrides sorted where each chooses a component by name: Hydra composes these in the order of its list."""
    return tuple(sorted(words) if _are_choices(words) else words)


def _are_choices(words: Sequence[str]) -> bool:
    groups = {word.partition("=")[0] for word in words}
    return len(groups) == len(words) and all(map(_CHOICE.fullmatch, words))


class Exchange:
    """Known configs, and the YAMLs of their choices.

    A choice can be exchanged if the YAMLs of all choices are nothing but values, the old one's values are the whole of
    its group's part of the config, and no YAML of the default protocol is for the old or the new choice: then no other
    part of the config depends on it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
        self._values: dict[str, dict[str, Any] | None] = {}

    def add(self, words: Sequence[str], config: Mapping[str, Any]) -> None:
        """Note a config without references to other keys, and the overrides that it is made from."""
        if _are_choices(words):
            for i, word in enumerate(words):
                self._known[_without(words, i)] = word, dict(config)

    def config_of(self, words: Sequence[str]) -> dict[str, Any] | None:
        """Return the config of overrides that differ in one choice from those of a known one; None if Hydra must."""
        if not _are_choices(words) or any(self._values_of(word) is None for word in words):
            return None
        for i, word in enumerate(words):
            before, config = self._known.get(_without(words, i), (word, {}))
            group = word.partition("=")[0]
            if before != word and config[group] == self._values_of(before) and not self._is_special(before, word):
                return {**config, group: self._values_of(word)}
        return None

    def _values_of(self, word: str) -> dict[str, Any] | None:
        """Return the values of a choice's YAML; None where Hydra must read it."""
        if word not in self._values:
            self._values[word] = _plain_values(*word.split("="))
        return self._values[word]

    def _is_special(self, *choices: str) -> bool:
        """Return whether a YAML of the default protocol is for one of the choices, alone or with others."""
        names = [choice.partition("=")[2] for choice in choices]
        return any(f"_{name}_" in f"{stem}_" for stem in self._of_protocol for name in names)

    @cached_property
    def _of_protocol(self) -> list[str]:
        """Names of the YAMLs that belong to the default protocol together with other choices."""
        found = _PROTOCOL.findall((conf_dir() / "config.yaml").read_text())
        names = f"{found[0]}_*.yaml" if len(found) == 1 else "*.yaml"
        folders = [folder for folder in (conf_dir(), own_conf_dir()) if folder is not None]
        return [path.stem for folder in folders for path in folder.glob(f"protocol/*/**/{names}")]


def _without(words: Sequence[str], i: int) -> tuple[str, ...]:
    return (*words[:i], words[i].partition("=")[0], *words[i + 1 :])


def _plain_values(group: str, name: str) -> dict[str, Any] | None:
    from omegaconf import OmegaConf

    try:
        (path,) = (path for path in yamls(group) if path.stem == name)
        text = path.read_text()
        values = None if _FOR_HYDRA.search(text) else OmegaConf.to_container(OmegaConf.create(text))
    except Exception:  # no such file, or what yaml and OmegaConf raise: Hydra says what is wrong
        return None
    if not isinstance(values, dict) or not values or "defaults" in values:
        return None
    return {str(key): value for key, value in values.items()}
