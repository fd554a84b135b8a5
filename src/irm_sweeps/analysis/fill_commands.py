"""The overrides that make a launch command write its results into a given store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from irm_sweeps.overrides.results_key import results_override
from irm_sweeps.typed_commands import DEFAULT_STORE, is_default_store


def folder_to_fill(stores: Sequence[Path]) -> Path:
    """Return the first store that can be written to: no archive is, and without another it is `results`."""
    return next((store for store in stores if not store.is_file()), DEFAULT_STORE)


def overrides_into(store: Path, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a command that fills a store; `results` is the default store and needs none."""
    return [*overrides, *([] if is_default_store(store) else [results_override(store)])]
