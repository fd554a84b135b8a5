"""The overrides that make a launch command write its results into a given store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def folder_to_fill(stores: Sequence[Path]) -> Path:
    """Return the first store that can be written to: no archive is, and without another it is `results`."""
    return next((store for store in stores if not store.is_file()), Path("results"))


def overrides_into(store: Path, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a command that fills a store; `results` is the default store and needs none."""
    return [*overrides, *([] if store == Path("results") else [f"results={_quoted(str(store))}"])]


def _quoted(value: str) -> str:
    """Return a value as Hydra's grammar reads it: quoted where a comma, say, would make it a sweep."""
    from hydra.core.override_parser.types import Quote, QuotedString

    plain = re.fullmatch(r"[\w./+@%-]+(?: [\w./+@%-]+)*", value)
    return value if plain else str(QuotedString(value, Quote.single).with_quotes())
