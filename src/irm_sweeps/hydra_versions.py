"""Calls that differ between Hydra 1.3 and 1.4, and between OmegaConf 2.3 and 2.4, by the installed version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def version_base() -> dict[str, str]:
    """Return the arguments that ask Hydra for its current defaults: 1.3 must be told, 1.4 warns when it is."""
    from hydra import __version__

    return {"version_base": "1.3"} if _minor(__version__) < (1, 4) else {}


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Register a resolver of OmegaConf's, in place of one of the same name.

    Until 2.3 `OmegaConf.register_resolver` is another, older function.
    """
    from omegaconf import OmegaConf, __version__

    new: Any = OmegaConf.register_new_resolver if _minor(__version__) < (2, 4) else OmegaConf.register_resolver
    new(name, resolver, replace=True)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
