"""Composing overrides to resolved configs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from irm_sweeps.conf_folders import conf_dir, search_path
from irm_sweeps.hydra_versions import version_base
from irm_sweeps.overrides.hydra_errors import readable_hydra_errors
from irm_sweeps.overrides.launch_line import without_parents


def compose(overrides: Sequence[str], *, resolve: bool = True) -> dict[str, Any]:
    """Return the config of these overrides as plain values, without Hydra's own part.

    Without `resolve`, references to other keys (`${lam}`) stay as they are written.

    Raises
    ------
    UserError
        An override names an unknown key or choice, or cannot be parsed.
    """
    from hydra import compose as hydra_compose

    with readable_hydra_errors(overrides), hydra_initialized():
        words = [*search_path(), *map(without_parents, overrides)]
        return plain(hydra_compose("config", words), resolve=resolve)


def length_typed_last(config: dict[str, Any], given: Collection[str]) -> None:
    """Let steps that were typed replace the epochs of a recipe; `given` holds the keys that were typed."""
    if "training.steps" in given and "training.epochs" not in given and isinstance(config.get("training"), dict):
        config["training"] = {**config["training"], "epochs": None}


@contextmanager
def hydra_initialized() -> Iterator[Any]:
    """Yield Hydra's global state: that of the running command, else one initialized with `conf/`."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        yield GlobalHydra.instance()
    else:
        with initialize_config_dir(str(conf_dir()), **version_base()):
            yield GlobalHydra.instance()


def plain(config: Any, *, resolve: bool = True) -> dict[str, Any]:
    """Return an OmegaConf config as dicts and lists, without Hydra's own part."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}
