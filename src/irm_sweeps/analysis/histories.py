"""What a trial logged while it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irm_sweeps.store.history import Row
    from irm_sweeps.store.result import Scores

BySplit = Mapping[str, Mapping[str, "Scores"]]
"""Split -> environment -> scores."""


def history(
    stores: Sequence[Path], trial_id: str, quantity: str, problems: list[str]
) -> tuple[dict[int, float], list[str]]:
    """Return a logged quantity by step, and which others there are; of several values (environments) the mean.

    Steps at which it was not finite are left out. The first store that has the trial's history answers; if that is
    damaged, there is nothing, and `problems` gets a line.
    """
    by_step: dict[int, float] = {}
    others: dict[str, None] = {}
    for row in _rows(stores, trial_id, problems):
        others.update(dict.fromkeys(row.logged))
        values = row.recorded().get(quantity)
        values = values if isinstance(values, list) else [values]
        if values and all(type(value) in (int, float) for value in values):
            by_step[row.step] = fmean(values)
    return by_step, list(others)


def evaluations(stores: Sequence[Path], trial_id: str, problems: list[str]) -> dict[int, BySplit]:
    """Return the scores of each evaluation of a trial, by split and environment, by step.

    The first store that has the trial's history answers, as in `history`.
    """
    return {row.step: row.scores for row in _rows(stores, trial_id, problems) if row.scores is not None}


def _rows(stores: Sequence[Path], trial_id: str, problems: list[str]) -> Sequence[Row]:
    from irm_sweeps.files.reading import DamagedFile
    from irm_sweeps.store.store import Store

    for root in stores:
        try:
            rows = Store(root).history(trial_id)
        except DamagedFile as damage:
            if str(damage) not in problems:
                problems.append(str(damage))
            return []
        if rows is not None:
            return rows
    return []
