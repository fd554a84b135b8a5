"""The direction in which a searching sweeper looks: as the user said, else the better one of the objective."""

from __future__ import annotations

from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.sweep.objective import is_minimised

_WORDS = {
    "direction": ("maximize", "minimize"),
    "optim.maximize": (True, False),
    "ax_config.experiment.minimize": (False, True),
    "ax_config.early_stop.minimize": (False, True),
}
"""Key below `hydra.sweeper` -> its value to maximise, and its value to minimise."""

_KEYS = {
    "optuna": ["direction"],
    "nevergrad": ["optim.maximize"],
    "ax": ["ax_config.experiment.minimize", "ax_config.early_stop.minimize"],
}
"""`hydra/sweeper=NAME` -> its keys for the direction. All three minimise unless they are told to maximise."""


def follow_objective() -> None:
    """Make the objective the default of the sweepers' keys for the direction, in those sweepers that are installed.

    What a command line or a YAML of the user's says of the direction comes after these defaults.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.object_type import ObjectType
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    from irm_sweeps.hydra_versions import register_resolver

    register_resolver("search_direction", lambda key, objective: _WORDS[key][is_minimised(str(objective))])
    Plugins.instance()  # imports the sweepers, which store their defaults then
    defaults = ConfigStore.instance()
    for name, keys in _KEYS.items():
        if defaults.get_type(f"hydra/sweeper/{name}.yaml") is not ObjectType.CONFIG:
            continue
        stored = defaults.load(f"hydra/sweeper/{name}.yaml")
        for key in keys:
            if _has(stored.node, key):
                OmegaConf.update(stored.node, key, f"${{search_direction:{key},${{objective}}}}")
        defaults.store(name, stored.node, group="hydra/sweeper", package=stored.package, provider=stored.provider)


def _has(node: Any, key: str) -> bool:
    """Return whether a config has a key; its value, which may refer to what is not there yet, is not looked at."""
    for part in key.split("."):
        if node is None or part not in node:
            return False
        node = node._get_node(part)
    return True


def told_to_minimise(sweeper: Any) -> bool | None:
    """Return whether a sweeper's config says to minimise; None where it has no key for the direction.

    Raises
    ------
    UserError
        It says neither, or one direction for each of several objectives.
    """
    from omegaconf import OmegaConf

    for key, (maximise, minimise) in _WORDS.items():
        value = OmegaConf.select(sweeper, key)
        if value is None:
            continue
        values = [getattr(one, "name", one) for one in (value if OmegaConf.is_list(value) else [value])]
        fix = f"write hydra.sweeper.{key}={maximise} or hydra.sweeper.{key}={minimise}"
        if len(values) != 1:
            raise UserError(f"hydra.sweeper.{key}={value}: the objective is one number, which has one direction: {fix}")
        if values[0] not in (maximise, minimise):
            raise UserError(f"hydra.sweeper.{key}={values[0]}: {fix}, or leave it to the objective")
        return bool(values[0] == minimise)
    return None
