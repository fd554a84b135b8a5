"""From Hydra's override grammar to trials, composing each combination of choices once.

Composing a config costs about 0.1 s, so ten thousand are not composed one by one: the groups of choices
(dataset, method, ...) are composed once per distinct combination, and plain `key=value` overrides are set
in copies of the result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from irm_sweeps.compose import compose, hydra_initialized, length_typed_last, plain
from irm_sweeps.config import Config, Settings
from irm_sweeps.errors import UserError
from irm_sweeps.overrides.hydra_errors import readable_hydra_errors
from irm_sweeps.overrides.key_hints import unknown_key
from irm_sweeps.overrides.paired_axes import is_zip, keys, members, refuse_hidden
from irm_sweeps.trial import Trial

MOST = 1_000_000
"""Most trials of one command: more are a typing error, and would fill the memory."""


@dataclass(frozen=True)
class _Axis:
    """One override and its values; a `composed` one goes through Hydra, any other is set in a copied config."""

    key: str
    values: list[Any]
    texts: list[str]
    composed: bool


@dataclass
class HydraCache:
    """What Hydra has composed and parsed so far; several calls of `expand` can share one.

    Attributes
    ----------
    bases
        By a combination of choices: its config, and whether parts of it refer to other keys.
    axes
        By an override's text.
    groups
        By a key: whether it chooses a YAML.
    parts
        The parts of trials; see `Trial.from_config`.
    """

    bases: dict[tuple[str, ...], tuple[dict[str, Any], bool]] = field(default_factory=dict)
    axes: dict[str, _Axis] = field(default_factory=dict)
    groups: dict[str, bool] = field(default_factory=dict)
    parts: dict[tuple[str, str], Config] = field(default_factory=dict)


def expand(overrides: Sequence[str], cache: HydraCache | None = None) -> Iterator[dict[str, Any]]:
    """Yield the resolved config of every combination of the overrides' values, the last override fastest.

    Configs share the parts in which they are equal: none may be changed.

    Raises
    ------
    UserError
        An override cannot be parsed, names an unknown key or choice, or is a continuous interval.
    """
    cache = HydraCache() if cache is None else cache
    refuse_hidden(overrides)
    dimensions = _dimensions(overrides, cache)
    if (n := math.prod(len(axes[0].values) for axes in dimensions)) > MOST:
        raise UserError(f"these overrides make {n} trials: one command takes at most {MOST}")
    given = {axis.key for axes in dimensions for axis in axes}
    for indices in product(*(range(len(axes[0].values)) for axes in dimensions)):
        chosen = [(axis, i) for axes, i in zip(dimensions, indices, strict=True) for axis in axes]
        composed = tuple(axis.texts[i] for axis, i in chosen if axis.composed)
        if composed not in cache.bases:
            cache.bases[composed] = _base(composed)
        base, refers = cache.bases[composed]
        config = dict(base)
        for axis, i in chosen:
            if not axis.composed:
                _assign(config, axis.key, axis.values[i])
        length_typed_last(config, given)
        yield _resolved(config, overrides) if refers else config


def trials(overrides: Sequence[str], cache: HydraCache | None = None) -> dict[str, Trial]:
    """Return the trials of a sweep by id, each once, in the order of the grid."""
    cache = HydraCache() if cache is None else cache
    grid = (Trial.from_config(config, known=cache.parts) for config in expand(overrides, cache))
    return {trial.id: trial for trial in grid}


def each_choice(override: str) -> list[tuple[str, str]]:
    """Return an override for each name that this one chooses, and the name: `paper=a` and `paper=b` for `paper=a,b`.

    Raises
    ------
    UserError
        A value is a list or a mapping.
    """
    (axis,) = _axes([override], HydraCache())
    if any(isinstance(value, list | dict) for value in axis.values):
        raise UserError(f"{override}: a choice is a name; several are {axis.key}=ONE,OTHER")
    return [(text, str(value)) for text, value in zip(axis.texts, axis.values, strict=True)]


def values(override: str) -> tuple[str, list[Any]]:
    """Return the key of an override that pairs no axes, and its values.

    Raises
    ------
    UserError
        It cannot be parsed, or is a continuous interval.
    """
    (axis,) = _axes([override], HydraCache())
    return axis.key, axis.values


def last_wins(*layers: Sequence[str]) -> list[str]:
    """Concatenate overrides; of those with the same key, the last stays, at the first one's place.

    Paired axes replace the overrides of their keys in earlier layers; so does `training.steps` a `training.epochs`.
    """
    merged: dict[str, str] = {}
    for layer in layers:
        for override in layer:
            replaced = keys(override) if is_zip(override) else []
            for key in [*replaced, *(["training.epochs"] if override.startswith("training.steps=") else [])]:
                if merged.get(key) not in layer:
                    merged.pop(key, None)
            merged[override.partition("=")[0].lstrip("+~")] = override
    return list(merged.values())


def _base(composed: Sequence[str]) -> tuple[dict[str, Any], bool]:
    """Return a config, and whether parts of it refer to other keys and so must be resolved after these are set."""
    config = compose(composed, resolve=False)
    if re.search(r"\$\{(?![\w.]+:)", str(config)):
        return config, True
    return _resolved(config, composed), False


def _resolved(config: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a config with its references to other keys replaced by their values; `overrides` made it."""
    from omegaconf import OmegaConf

    with readable_hydra_errors(overrides):
        return plain(OmegaConf.create(config))


def _dimensions(overrides: Sequence[str], cache: HydraCache) -> list[list[_Axis]]:
    """Return the axes of each override: one, or those that `zip(...)` pairs, which have equally many values.

    Raises
    ------
    UserError
        Paired axes differ in length, have a key that another override has, or that cannot vary.
    """
    dimensions = [_axes(members(override), cache) for override in overrides]
    for i, (override, axes) in enumerate(zip(overrides, dimensions, strict=True)):
        if is_zip(override):
            _check_paired(override, axes, [*overrides[:i], *overrides[i + 1 :]])
    return dimensions


def _check_paired(override: str, axes: Sequence[_Axis], others: Sequence[str]) -> None:
    name = override.partition("=")[0]
    lengths = {axis.key: len(axis.values) for axis in axes}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} {n}" for key, n in lengths.items())
        raise UserError(f"{override}: its keys have different numbers of values ({listed}): give each equally many")
    if is_group(name) or name in {*Trial.model_fields, *Settings.model_fields}:
        raise UserError(f"{override}: {name} is a key: give the pair a name of its own, e.g. x=zip(...)")
    for key in lengths:
        if key.partition(".")[0] in {*Settings.model_fields, "paper"} or key.startswith("hydra"):
            raise UserError(f"{override}: {key} is one for all trials of a sweep: give it outside the pair")
        if doubled := [other for other in others if key in keys(other) or name == other.partition("=")[0]]:
            what = key if key in keys(doubled[0]) else name
            raise UserError(f"{override}: {what} stands in {doubled[0]} too: leave one of them out")


def _axes(overrides: Sequence[str], cache: HydraCache) -> list[_Axis]:
    """Parse overrides; those that the cache does not have, all at once."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if new := [text for text in overrides if text not in cache.axes]:
        with readable_hydra_errors(), hydra_initialized() as hydra:
            parser = OverridesParser.create(config_loader=hydra.config_loader())
            for text, override in zip(new, parser.parse_overrides(new), strict=True):
                cache.axes[text] = _axis(override, cache.groups)
    return [cache.axes[text] for text in overrides]


def _axis(override: Any, groups: dict[str, bool]) -> _Axis:
    from hydra.core.override_parser.types import Override, Transformer

    prefix = {"CHANGE": "", "ADD": "+", "FORCE_ADD": "++", "DEL": "~"}.get(override.type.name, "")
    key = override.get_key_element().lstrip("+~")
    if not override.is_sweep_override():
        composed = _is_composed(override, [override.value()], groups)
        return _Axis(key, [override.value()], [override.input_line], composed)
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: an interval needs a searching sweeper, e.g. hydra/sweeper=optuna")
    _check_range(override)
    texts = [f"{prefix}{key}={text}" for text in override.sweep_string_iterator()]
    if not texts:
        raise UserError(f"{override.input_line}: {override.input_line.partition('=')[2]} is empty")
    values = [Override._convert_value(v) for v in override.sweep_iterator(transformer=Transformer.identity)]
    return _Axis(key, values, texts, _is_composed(override, values, groups))


def _check_range(override: Any) -> None:
    from hydra.core.override_parser.types import RangeSweep

    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        n = (float(sweep.stop or 0) - float(sweep.start or 0)) / (sweep.step or math.nan)
        if not n <= MOST:
            raise UserError(f"{override.input_line}: a range has a step that is not 0, and at most {MOST} values")


def _is_composed(override: Any, values: Sequence[Any], groups: dict[str, bool]) -> bool:
    """Return whether Hydra must compose an override: a choice of a YAML, an added or removed key, a reference."""
    if override.type.name != "CHANGE" or override.package is not None:
        return True
    if any("${" in str(value) for value in values):
        return True
    key = override.key_or_group
    if key not in groups:
        groups[key] = is_group(key)
    return groups[key]


def is_group(key: str) -> bool:
    """Return whether the key chooses a YAML (`method=...`) rather than sets a value."""
    from hydra.core.global_hydra import GlobalHydra

    from irm_sweeps.conf_folders import conf_dir

    if "." in key:
        return False
    hydra = GlobalHydra.instance()
    if hydra.is_initialized():
        return bool(hydra.config_loader().get_group_options(key))
    return (conf_dir() / key).is_dir()


def _assign(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a key that the config has; a dict is merged into the one that is there. The dicts that change are copied."""
    *path, leaf = key.split(".")
    node: Any = config
    for part in path:
        inner = node.get(part) if isinstance(node, Mapping) else None
        if not isinstance(inner, dict):
            raise unknown_key(key, config)
        node[part] = node = dict(inner)
    if leaf not in node:
        raise unknown_key(key, config)
    node[leaf] = {**node[leaf], **value} if isinstance(value, dict) and isinstance(node[leaf], dict) else value
