"""Trials to test with: of any overrides, and with training environments that differ in size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from irm_sweeps.compose import compose
from irm_sweeps.data.colored_mnist import ColoredMNIST
from irm_sweeps.data.dataset import Array, TrialData
from irm_sweeps.trial import Trial


def compose_trial(*overrides: str) -> Trial:
    """Return the trial that `irm-sweeps launch` trains with these overrides, e.g. `dataset=two_bits`, `seed=3`.

    Raises
    ------
    UserError
        An override names no choice or key, or a value is wrong.
    """
    return Trial.from_config(compose(overrides))


def with_side(trial: Trial) -> Trial:
    """Return this trial of Colored MNIST with side information: how much of an image is in each colour, `[n, 2]`."""
    return _with_dataset(trial, _WithSide)


def with_doubled_environment(trial: Trial) -> Trial:
    """Return this trial of Colored MNIST with every image of its second training environment there twice."""
    return _with_dataset(trial, _SecondDoubled)


def with_cut_environment(trial: Trial) -> Trial:
    """Return this trial of Colored MNIST without a third of the images of its last training environment."""
    return _with_dataset(trial, _LastCut)


class _WithSide(ColoredMNIST):
    """Colored MNIST with side information."""

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        data = super().draw(seed, data_dir)
        return replace(data, side=[np.asarray(x).reshape(len(x), 2, -1).mean(2) for x in data.inputs])


class _SecondDoubled(_WithSide):
    """Colored MNIST with every image of the second training environment there twice."""

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        return _change(super().draw(seed, data_dir), 1, lambda array: np.concatenate([array, array]))


class _LastCut(_WithSide):
    """Colored MNIST without the last third of the images of the last training environment."""

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        last = len(self.p_e) - 1
        return _change(super().draw(seed, data_dir), last, lambda array: array[: 2 * len(array) // 3])


def _change(data: TrialData, environment: int, change: Callable[[Array], Array]) -> TrialData:
    """Return the data with the inputs, labels and side information of one training environment changed."""
    inputs, labels, side = (
        [change(array) if e == environment else array for e, array in enumerate(arrays)]
        for arrays in (data.inputs, data.labels, data.side or [])
    )
    return replace(data, inputs=inputs, labels=labels, side=side)


def _with_dataset(trial: Trial, dataset: type[ColoredMNIST]) -> Trial:
    fields = trial.dataset.model_dump(exclude={"target"})
    return trial.model_copy(update={"dataset": dataset.model_validate(fields)})
