"""The order of the report: which part is the answer and comes first, and the others in the order of their papers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper

Name = list[str | int]
"""The parts of a name, of which every second is a number: figure 10 comes after figure 9."""


def in_order(papers: Mapping[str, Paper]) -> list[Paper]:
    """Return the papers that are no union of others, each where its union has it; the others by name."""
    places = {
        name: (union.name, index)
        for union in papers.values()
        for index, name in reversed(list(enumerate(union.include)))
    }

    def place(paper: Paper) -> tuple[Name, int, Name]:
        union, index = places.get(paper.name, (paper.name, 0))
        return _parts(union), index, _parts(paper.name)

    return sorted((paper for paper in papers.values() if not paper.include), key=place)


def _parts(name: str) -> Name:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def sweep_was_last(stores: Sequence[Path]) -> bool:
    """Return whether what was launched last is a sweep that is no paper's: then it is the report's answer."""
    from irm_sweeps.analysis.sweeps.trials import latest_manifest
    from irm_sweeps.store.sweeps import is_own_grid

    try:
        manifest = latest_manifest(stores)
    except UserError:  # a damaged manifest is said where the sweeps are
        return False
    return manifest is not None and is_own_grid(manifest.name)
