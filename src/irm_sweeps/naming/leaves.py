"""Configs made flat: a value for each dotted key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `a.b.c` and value for every leaf of a config."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's config flat, for people to read: keys are dotted, and a group's name has its class."""
    return {key.removesuffix("._target_"): value for key, value in leaves(config)}
