"""A pytest plug-in with fixtures that make small trials of real digits and train them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from irm_sweeps.sweep.grid import expand
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import GROUPS, Trial

# Threads that share a tiny tensor wait for each other: ten times slower on busy cores.
torch.set_num_threads(1)

CPU = torch.device("cpu")

TINY: dict[str, Any] = {
    "dataset.source": "embedded",
    "dataset.n_train": 60,
    "dataset.test_p_e": [0.1, 0.9],
    "backbone.width": 8,
    "training.precision": "float64",
    "training.steps": 20,
    "training.log_every": 1,
    "lam": 10,
}
"""Values with which a trial of the default config takes milliseconds."""

MakeTrial = Callable[..., Trial]
"""A function from overrides, e.g. `method=irmv1` and `lam=3`, to a trial."""
Train = Callable[..., StackTraining]
"""A function from trials to their training as one stack, not yet run.

On the CPU, or on `device`; with `compiled=True` its moves are compiled.
"""


@functools.cache
def composed(choices: tuple[str, ...]) -> dict[str, Any]:
    """Return the config of these choices of groups; cached, since Hydra takes 0.1 s to compose one."""
    (config,) = expand(choices)
    return config


def maker(groups: Sequence[str], tiny: Mapping[str, Any]) -> MakeTrial:
    """Return a function from overrides to a trial.

    Parameters
    ----------
    groups
        Choices of groups, e.g. `dataset=linear_unit_tests`, where the overrides make none.
    tiny
        Values by dotted key where the overrides give none.
    """

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
def make_trial() -> MakeTrial:
    """Make a trial from overrides like `method=irmv1`, `lam=3`; the other values are those of `TINY`."""
    return maker([], TINY)


@pytest.fixture(scope="session")
def make_trial_of() -> Callable[[Sequence[str], Mapping[str, Any]], MakeTrial]:
    """Make a function like `make_trial` with other choices of groups and other values than `TINY`: see `maker`."""
    return maker


@pytest.fixture(scope="session")
def training() -> Train:
    """Make the training of trials, not yet run."""

    def start(*trials: Trial, compiled: bool = False, device: torch.device = CPU) -> StackTraining:
        return StackTraining(trials, Path("no_data_is_read"), device, compiled=compiled)

    return start


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """Return this machine's GPU; the test is skipped where torch finds none."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    return torch.device("cuda")
