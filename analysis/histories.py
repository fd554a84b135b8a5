"""What a trial logged while it trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean


def history(stores: Sequence[Path], trial_id: str, quantity: str) -> tuple[dict[int, float], list[str]]:
    """Return a logged quantity by step, and which others there are; of several values (environments) the mean.

    Steps at which it was not finite are left out. The first store that has the trial's history answers.
    """
    from irm_sweeps.sweep.store import Store

    found: dict[int, float] = {}
    others: dict[str, None] = {}
    for root in stores:
        path = Store(root).folder(trial_id) / "history.jsonl"
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            row = json.loads(line)
            others.update(dict.fromkeys(key for key in row if key not in ("step", "scores")))
            values = row.get(quantity)
            values = values if isinstance(values, list) else [values]
            if all(isinstance(value, int | float) for value in values):
                found[int(row["step"])] = fmean(values)
        break
    return found, list(others)
