"""What a trial logged while it trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any


def history(stores: Sequence[Path], trial_id: str, quantity: str) -> tuple[dict[int, float], list[str]]:
    """Return a logged quantity by step, and which others there are; of several values (environments) the mean.

    Steps at which it was not finite are left out. The first store that has the trial's history answers.
    """
    found: dict[int, float] = {}
    others: dict[str, None] = {}
    for row in _rows(stores, trial_id):
        others.update(dict.fromkeys(key for key in row if key not in ("step", "scores")))
        values = row.get(quantity)
        values = values if isinstance(values, list) else [values]
        if all(isinstance(value, int | float) for value in values):
            found[int(row["step"])] = fmean(values)
    return found, list(others)


def evaluations(stores: Sequence[Path], trial_id: str) -> dict[int, Mapping[str, Any]]:
    """Return the scores of each evaluation of a trial, split -> environment -> measure, by step.

    The first store that has the trial's history answers.
    """
    return {int(row["step"]): row["scores"] for row in _rows(stores, trial_id) if "scores" in row}


def _rows(stores: Sequence[Path], trial_id: str) -> Iterator[Mapping[str, Any]]:
    from irm_sweeps.sweep.store import Store

    for root in stores:
        path = Store(root).folder(trial_id) / "history.jsonl"
        if path.is_file():
            yield from (json.loads(line) for line in path.read_text().splitlines())
            return
