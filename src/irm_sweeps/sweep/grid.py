"""From Hydra's override grammar to trials, composing each combination of choices once.

Composing a config costs about 0.1 s, so ten thousand are not composed one by one: the groups of choices
(dataset, method, ...) are composed once per distinct combination, and plain `key=value` overrides are set
in copies of the result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from irm_sweeps.compose import compose, dotted_keys, hydra_initialized, plain, readable_hydra_errors, unknown_key
from irm_sweeps.errors import UserError
from irm_sweeps.trial import Trial

MOST = 1_000_000
"""Trials of one command; what asks for more is a typing error, and would fill the memory."""


@dataclass(frozen=True)
class _Axis:
    """One override and the values it takes; `composed` ones go through Hydra, the others are set directly."""

    key: str
    prefix: str
    values: list[Any]
    texts: list[str]
    composed: bool


Bases = dict[tuple[str, ...], tuple[dict[str, Any], bool]]
"""What `compose` made of combinations of choices; one of these can serve several calls of `expand`."""


def expand(overrides: Sequence[str], bases: Bases | None = None) -> Iterator[dict[str, Any]]:
    """Yield the resolved config of every combination of the overrides' values, the last override fastest.

    Raises
    ------
    UserError
        An override cannot be parsed, names an unknown key or choice, or is a continuous interval.
    """
    axes = _axes(overrides)
    if (n := math.prod(len(axis.values) for axis in axes)) > MOST:
        raise UserError(f"these overrides make {n} trials: one command takes at most {MOST}")
    bases = {} if bases is None else bases
    for indices in product(*(range(len(axis.values)) for axis in axes)):
        composed = tuple(axis.texts[i] for axis, i in zip(axes, indices, strict=True) if axis.composed)
        if composed not in bases:
            bases[composed] = _base(composed)
        base, refers = bases[composed]
        config = _copied(base)
        for axis, i in zip(axes, indices, strict=True):
            if not axis.composed:
                _assign(config, axis.key, axis.values[i])
        yield _resolved(config) if refers else config


def _copied(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the dicts, which are about to be changed, and share the values, which are not."""
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in config.items()}


def trials(overrides: Sequence[str], bases: Bases | None = None) -> dict[str, Trial]:
    """Return the trials of a sweep by id, each once, in the order of the grid."""
    grid = (Trial.from_config(config) for config in expand(overrides, bases))
    return {trial.id: trial for trial in grid}


def last_wins(*layers: Sequence[str]) -> list[str]:
    """Concatenate overrides; of those with the same key, the last stays, at the first one's place."""
    merged: dict[str, str] = {}
    for layer in layers:
        for override in layer:
            merged[override.partition("=")[0].lstrip("+~")] = override
    return list(merged.values())


def _base(composed: Sequence[str]) -> tuple[dict[str, Any], bool]:
    """Return a config, and whether parts of it refer to other keys and so must be resolved after these are set."""
    config = compose(composed, resolve=False)
    if re.search(r"\$\{(?![\w.]+:)", str(config)):
        return config, True
    return _resolved(config), False


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    with readable_hydra_errors():
        return plain(OmegaConf.create(config))


def _axes(overrides: Sequence[str]) -> list[_Axis]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with readable_hydra_errors(), hydra_initialized() as hydra:
        parser = OverridesParser.create(config_loader=hydra.config_loader())
        return [_axis(override) for override in parser.parse_overrides(list(overrides))]


def _axis(override: Any) -> _Axis:
    from hydra.core.override_parser.types import Override, Transformer

    prefix = {"CHANGE": "", "ADD": "+", "FORCE_ADD": "++", "DEL": "~"}.get(override.type.name, "")
    key = override.get_key_element().lstrip("+~")
    if not override.is_sweep_override():
        return _Axis(key, prefix, [override.value()], [override.input_line], _is_composed(override, [override.value()]))
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: an interval needs a searching sweeper, e.g. hydra/sweeper=optuna")
    _check_range(override)
    texts = [f"{prefix}{key}={text}" for text in override.sweep_string_iterator()]
    values = [Override._convert_value(v) for v in override.sweep_iterator(transformer=Transformer.identity)]
    return _Axis(key, prefix, values, texts, _is_composed(override, values))


def _check_range(override: Any) -> None:
    from hydra.core.override_parser.types import RangeSweep

    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        n = (float(sweep.stop or 0) - float(sweep.start or 0)) / (sweep.step or math.nan)
        if not n <= MOST:
            raise UserError(f"{override.input_line}: a range has a step that is not 0, and at most {MOST} values")


def _is_composed(override: Any, values: Sequence[Any]) -> bool:
    if override.type.name != "CHANGE" or override.package is not None:
        return True
    if any("${" in str(value) for value in values):
        return True
    return is_group(override.key_or_group)


def is_group(key: str) -> bool:
    """Return whether the key chooses a YAML (`method=...`) rather than sets a value."""
    from hydra.core.global_hydra import GlobalHydra

    from irm_sweeps.compose import conf_dir

    if "." in key:
        return False
    hydra = GlobalHydra.instance()
    if hydra.is_initialized():
        return bool(hydra.config_loader().get_group_options(key))
    return (conf_dir() / key).is_dir()


def _assign(config: dict[str, Any], key: str, value: Any) -> None:
    *path, leaf = key.split(".")
    node: Any = config
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    if not isinstance(node, dict) or leaf not in node:
        raise unknown_key(key, list(dotted_keys(config)))
    node[leaf] = {**node[leaf], **value} if isinstance(value, dict) and isinstance(node[leaf], dict) else value
