"""Fixtures that every test may use: small trials of real digits, and a training of them on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from irm_sweeps import compose
from irm_sweeps.sweep import grid
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

TINY = [
    "dataset.source=embedded",
    "dataset.n_train=60",
    "dataset.test_p_e=[0.1,0.9]",
    "backbone.width=8",
    "training.precision=float64",
    "training.steps=20",
    "training.log_every=1",
    "lam=10",
]
"""What makes a trial of the defaults a matter of milliseconds."""

MakeTrials = Callable[..., list[Trial]]
MakeTrial = Callable[..., Trial]
Train = Callable[..., StackTraining]


@pytest.fixture(scope="session")
def make_trials() -> MakeTrials:
    """From overrides in Hydra's grammar to trials; what they leave out is `TINY`."""
    composed_once = functools.cache(compose.compose)

    def cached(overrides: Sequence[str], *, resolve: bool) -> dict[str, Any]:
        return composed_once(tuple(overrides), resolve=resolve)

    def make(*overrides: str) -> list[Trial]:
        with patch.object(grid, "compose", cached):
            return list(grid.trials(grid.last_wins(TINY, overrides)).values())

    return make


@pytest.fixture(scope="session")
def make_trial(make_trials: MakeTrials) -> MakeTrial:
    """From overrides to the one trial they describe."""

    def make(*overrides: str) -> Trial:
        (trial,) = make_trials(*overrides)
        return trial

    return make


@pytest.fixture(scope="session")
def training() -> Train:
    """From trials to their training on the CPU, not yet run."""

    def start(*trials: Trial) -> StackTraining:
        return StackTraining(trials, Path("no_data_is_read"), torch.device("cpu"))

    return start
