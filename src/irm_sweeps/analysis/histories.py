"""The history of a trial: the quantities and the evaluations that it logged while it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irm_sweeps.store.history import HistoryRow
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.result import Scores

BySplit = Mapping[str, Mapping[str, "Scores"]]
"""Split -> environment -> scores."""


def history(
    readers: Sequence[Reader], trial_id: str, quantity: str, problems: list[str]
) -> tuple[dict[int, float], list[str]]:
    """Return a logged quantity by step, and the names of all logged quantities; of a list of values, the mean.

    Steps with a value that is not finite have no entry. The history is that of the first reader that has one; if it is
    damaged, the answer is empty, and `problems` gets a line.
    """
    by_step: dict[int, float] = {}
    quantities: dict[str, None] = {}
    for row in _rows(readers, trial_id, problems):
        quantities.update(dict.fromkeys(row.logged))
        values = row.recorded().get(quantity)
        values = values if isinstance(values, list) else [values]
        if values and all(type(value) in (int, float) for value in values):
            by_step[row.step] = fmean(values)
    return by_step, list(quantities)


def evaluations(readers: Sequence[Reader], trial_id: str, problems: list[str]) -> dict[int, BySplit]:
    """Return the scores of each evaluation of a trial by step, from the same reader as `history`."""
    return {row.step: row.scores for row in _rows(readers, trial_id, problems) if row.scores is not None}


def _rows(readers: Sequence[Reader], trial_id: str, problems: list[str]) -> Sequence[HistoryRow]:
    from irm_sweeps.files.reading import DamagedFile

    for reader in readers:
        try:
            rows = reader.history(trial_id)
        except DamagedFile as damage:
            if str(damage) not in problems:
                problems.append(str(damage))
            return []
        if rows is not None:
            return rows
    return []
