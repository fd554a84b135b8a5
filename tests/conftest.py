"""Fixtures that every test may use: small trials of real digits, and their training on the CPU."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from commands import Desk
from irm_sweeps.sweep.grid import expand
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import GROUPS, Trial

# Threads that share out a tiny tensor wait for each other: ten times slower on busy cores.
torch.set_num_threads(1)

TINY = {
    "dataset.source": "embedded",
    "dataset.n_train": 60,
    "dataset.test_p_e": [0.1, 0.9],
    "backbone.width": 8,
    "training.precision": "float64",
    "training.steps": 20,
    "training.log_every": 1,
    "lam": 10,
}
"""What makes a trial of the defaults a matter of milliseconds."""

MakeTrial = Callable[..., Trial]
Train = Callable[..., StackTraining]


@functools.cache
def composed(choices: tuple[str, ...]) -> dict[str, Any]:
    """The config of a choice of groups; composing one takes Hydra 0.1 s."""
    (config,) = expand(choices)
    return config


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A store, and commands at work on it in processes of their own, all ended with the test."""
    made = Desk(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def make_trial() -> MakeTrial:
    """From overrides like `method=irmv1`, `lam=3` to a trial; what they leave out is `TINY`."""
    return maker([], TINY)


@pytest.fixture(scope="session")
def make_trial_of() -> Callable[[list[str], dict[str, Any]], MakeTrial]:
    """Like `make_trial`, of other choices of groups and other values than `TINY`."""
    return maker


def maker(groups: list[str], tiny: dict[str, Any]) -> MakeTrial:
    def make(*overrides: str) -> Trial:
        pairs = dict(override.split("=", 1) for override in [*groups, *overrides])
        choices = tuple(f"{key}={value}" for key, value in pairs.items() if key in GROUPS)
        config = copy.deepcopy(composed(choices))
        values = {key: yaml.safe_load(value) for key, value in pairs.items() if key not in GROUPS}
        for key, value in {**tiny, **values}.items():
            *path, leaf = key.split(".")
            node = functools.reduce(dict.__getitem__, path, config)
            assert leaf in node, f"no config has {key}"
            node[leaf] = value
        return Trial.from_config(config)

    return make


@pytest.fixture(scope="session")
def training() -> Train:
    """From trials to their training on the CPU, not yet run."""

    def start(*trials: Trial) -> StackTraining:
        return StackTraining(trials, Path("no_data_is_read"), torch.device("cpu"))

    return start
