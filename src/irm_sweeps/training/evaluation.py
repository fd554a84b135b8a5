"""Compute risk, accuracy and calibration error of every environment of every split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irm_sweeps.data.dataset import EvaluationSet
from irm_sweeps.methods.risks import Loss
from irm_sweeps.training.calibration import expected_calibration_error

Scores = dict[str, dict[str, dict[str, float | None]]]
"""split -> environment -> {risk, accuracy, ece} or other measures. A regression has a risk only; None: not finite."""


@dataclass(frozen=True)
class StackedSet:
    """The evaluation sets of one split, for S trials.

    Attributes
    ----------
    inputs
        `[S, m, ...]`, before `Dataset.prepare`.
    index, labels
        Per environment, `[S, n]`: the positions of its inputs, and their labels.
    names
        Per trial, the names of its environments; all trials have the same number.
    """

    inputs: Tensor
    index: Sequence[Tensor]
    labels: Sequence[Tensor]
    names: Sequence[Sequence[str]]

    @classmethod
    def of(cls, sets: Sequence[EvaluationSet], inputs: Tensor) -> StackedSet:
        """Stack the trials' sets, one environment at a time; `inputs` are their stacked inputs on the device."""
        columns = list(zip(*(list(s.environments.values()) for s in sets), strict=True))
        return cls(
            inputs,
            # int64, because torch reads an index of uint8 as a mask and refuses most other integer types.
            [
                torch.from_numpy(np.stack([e.index for e in column]).astype(np.int64)).to(inputs.device)
                for column in columns
            ],
            [torch.from_numpy(np.stack([e.labels for e in column])).to(inputs.device) for column in columns],
            [list(s.environments) for s in sets],
        )

    def without_unused(self, rows: npt.NDArray[np.int64]) -> StackedSet:
        """Return the set with only the inputs `rows`, which its environments use in this order, each row once."""
        ends = np.cumsum([index.shape[1] for index in self.index])
        index = [
            torch.arange(end - old.shape[1], end, device=old.device).expand_as(old)
            for old, end in zip(self.index, ends.tolist(), strict=True)
        ]
        return StackedSet(self.inputs[:, torch.from_numpy(rows)], index, self.labels, self.names)


Predict = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""A function from one trial's parameters and inputs `[m, *features]` to its logits."""


def stacked_logits(predict: Predict, parameters: Mapping[str, Tensor], pieces: Iterable[Tensor]) -> Tensor:
    """Return the logits `[S, m]` or `[S, m, classes]` of inputs given in pieces `[S, rows, *features]`."""
    trials = next(iter(parameters.values())).shape[0]
    apply = torch.func.vmap(predict) if trials > 1 else lifted(predict)
    return torch.cat([apply(parameters, piece) for piece in pieces], dim=1)


def lifted(function: Any) -> Any:
    """Return `function` lifted to a stack of one trial: the result of vmap, without its overhead."""

    def on_stack_of_one(*arguments: Any) -> Any:
        squeezed = torch.utils._pytree.tree_map_only(Tensor, lambda t: t.squeeze(0), arguments)
        return torch.utils._pytree.tree_map_only(Tensor, lambda t: t.unsqueeze(0), function(*squeezed))

    return on_stack_of_one


@torch.no_grad()
def evaluate(
    predict: Predict,
    parameters: Mapping[str, Tensor],
    sets: Mapping[str, StackedSet],
    prepared: Callable[[str], Iterable[Tensor]],
    loss: Loss,
) -> list[Scores]:
    """Return each trial's scores; `prepared` gives the prepared inputs of a split, in pieces."""
    trials = next(iter(parameters.values())).shape[0]
    scores: list[Scores] = [{split: {} for split in sets} for _ in range(trials)]
    for split, stacked in sets.items():
        logits = stacked_logits(predict, parameters, prepared(split))
        rows = torch.arange(trials, device=logits.device).unsqueeze(1)
        for e, (index, labels) in enumerate(zip(stacked.index, stacked.labels, strict=True)):
            z, y = logits[rows, index].flatten(0, 1), labels.flatten()
            measures = {"risk": loss.losses(z, y).view_as(index).mean(1).tolist()}
            if (correct := loss.correct(z, y)) is not None:
                measures["accuracy"] = correct.view_as(index).double().mean(1).tolist()
            if correct is not None and (confidence := loss.confidence(z)) is not None:
                error = expected_calibration_error(confidence.view_as(index), correct.view_as(index))
                measures["ece"] = error.tolist()
            for trial in range(trials):
                finite = math.isfinite(measures["risk"][trial])
                scores[trial][split][stacked.names[trial][e]] = {
                    name: values[trial] if finite else None for name, values in measures.items()
                }
    return scores
