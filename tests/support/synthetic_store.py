"""Write made-up results for a paper's trials, as `launch.py` would, without training."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from irm_sweeps import compose
from irm_sweeps.conf_folders import COMPONENTS, own_conf_dir
from irm_sweeps.store.result import Result
from irm_sweeps.store.schema import SCHEMA
from irm_sweeps.store.store import Store
from irm_sweeps.sweep import grid
from irm_sweeps.sweep.paper import Paper
from irm_sweeps.trial import Trial

ENVIRONMENTS = [f"0.{i}" for i in range(1, 10)]

Accuracy = Callable[[Trial, str], float | None]
"""A function from a trial and a test environment to a made-up accuracy."""


_compose = compose.compose


@functools.cache
def _composed(overrides: tuple[str, ...], resolve: bool, *_what_else_counts: object) -> dict[str, Any]:
    return _compose(overrides, resolve=resolve)


@contextmanager
def composed_once() -> Iterator[None]:
    """Let Hydra compose each config once a process inside the block; each takes 0.1 s."""

    def composed(overrides: Sequence[str], *, resolve: bool = True) -> dict[str, Any]:
        conf = own_conf_dir()
        setup = tuple(sorted(item for item in os.environ.items() if item[0].startswith("IRM_SWEEPS")))
        return copy.deepcopy(_composed(tuple(overrides), resolve, conf, setup))

    with patch.object(compose, "compose", composed), patch.object(grid, "compose", composed):
        yield


def trials_of(paper: Paper, row: str, user: Sequence[str] = ()) -> list[Trial]:
    return list(paper.cell_trials(paper.rows[row], paper.columns[0], user).values())


def completed(trial: Trial, accuracy: Accuracy, validation: float | None = None) -> dict[str, Any]:
    """Return a result whose selection rules all choose the last step; `val` needs a validation accuracy."""
    scores: dict[str, Any] = {
        "train": {"0.2": {"risk": 0.4, "accuracy": 0.85}, "0.1": {"risk": 0.4, "accuracy": 0.85}},
        "test": {e: {"risk": 0.5, "accuracy": accuracy(trial, e)} for e in ENVIRONMENTS},
    }
    rules = ["last", "oracle"]
    if validation is not None:
        scores["val"] = {e: {"risk": 0.5, "accuracy": validation} for e in ("0.2", "0.1")}
        rules.append("val")
    metrics = {rule: {"step": trial.training.steps, "scores": scores} for rule in rules}
    return {**head(trial, "completed"), "metrics": metrics, "steps": trial.training.steps}


def diverged(trial: Trial, step: int) -> dict[str, Any]:
    return {**head(trial, "diverged"), "diverged_at": step, "metrics": {}, "steps": step}


def failed(trial: Trial, message: str) -> dict[str, Any]:
    error = {"kind": "exception", "message": message, "details": ""}
    return {**head(trial, "failed"), "error": error, "metrics": {}, "steps": None}


def head(trial: Trial, status: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "trial_id": trial.id, "status": status, "config": trial.config}


def made_up_result(metrics: dict[str, Any]) -> Result:
    """A result with these metrics, of a trial that cannot be trained."""
    components = {group: {"_target_": "a.Some"} for group in COMPONENTS}
    config = {**components, "training": {"steps": 1}, "lam": None, "seed": 0}
    values = {"schema": SCHEMA, "trial_id": "0" * 16, "status": "completed", "config": config, "metrics": metrics}
    return Result.from_values(values)


def write(root: Path, *results: dict[str, Any]) -> None:
    for result in results:
        store = Store(root)
        store.prepare()
        store.write_result(result, [])


def fill(root: Path, paper: Paper, row: str, accuracy: Accuracy, user: Sequence[str] = ()) -> list[Trial]:
    """Write a completed result for every trial of a row, and return the trials."""
    trials = trials_of(paper, row, user)
    write(root, *(completed(trial, accuracy) for trial in trials))
    return trials
