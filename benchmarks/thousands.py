"""A store of thousands of results, each a copy of one real result under another trial's name."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TINY = [
    "method=irmv1",
    "dataset.source=embedded",
    "dataset.n_train=50",
    "backbone.width=8",
    "training.steps=3",
]
"""A trial of three steps on tiny data."""


def real_result(folder: Path) -> tuple[dict[str, Any], str]:
    """Train one tiny trial in an empty folder; return its result and its history's text."""
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.store.store import Store
    from irm_sweeps.sweep.run import run_sweep

    run_sweep([*TINY, f"results={folder}"], InProcess())
    store = Store(folder)
    (trial_id,) = store.trial_ids()
    result = store.result(trial_id)
    assert result is not None
    return dict(result.raw), (folder / trial_id / "history.jsonl").read_text()


def fill(root: Path, trials: Mapping[str, Any], like: tuple[dict[str, Any], str]) -> None:
    """Write a completed result for every trial."""
    result, history = like
    for seed, (trial_id, trial) in enumerate(trials.items()):
        own = copy.deepcopy(result) | {"trial_id": trial_id, "config": trial.config}
        for chosen in own["metrics"].values():
            for environments in chosen["scores"].values():
                for scores in environments.values():
                    scores["accuracy"] = round(scores["accuracy"] - (seed * 0.618 % 1) / 10, 6)
        folder = root / trial_id
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(own, indent=1))
        (folder / "history.jsonl").write_text(history)
