"""Trials whose training environments differ in size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from irm_sweeps.data.colored_mnist import ColoredMNIST
from irm_sweeps.data.dataset import Array, TrialData
from irm_sweeps.trial import Trial


def _changed(data: TrialData, e: int, change: Callable[[Array], Array]) -> TrialData:
    """Return the data with a change to the images and labels of training environment e."""
    inputs, labels = ([change(a) if i == e else a for i, a in enumerate(own)] for own in (data.inputs, data.labels))
    return replace(data, inputs=inputs, labels=labels)


class _Repeated(ColoredMNIST):
    """Every image of the second environment stands there twice."""

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        return _changed(super().draw(seed, data_dir), 1, lambda array: np.concatenate([array, array]))


class _Cut(ColoredMNIST):
    """The last environment lacks a third of its images."""

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        return _changed(super().draw(seed, data_dir), -1 % len(self.p_e), lambda array: array[: 2 * len(array) // 3])


def repeated(trial: Trial) -> Trial:
    """Return a trial of Colored MNIST in whose second training environment every image stands twice."""
    return _on(_Repeated, trial)


def cut(trial: Trial) -> Trial:
    """Return a trial of Colored MNIST whose last training environment lacks a third of its images."""
    return _on(_Cut, trial)


def _on(kind: type[ColoredMNIST], trial: Trial) -> Trial:
    values = trial.dataset.model_dump(exclude={"target"})
    return trial.model_copy(update={"dataset": kind.model_validate(values)})
