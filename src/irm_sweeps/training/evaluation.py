"""Risk and accuracy of every environment of every split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irm_sweeps.data.dataset import EvaluationSet
from irm_sweeps.methods.risks import correct, losses

Scores = dict[str, dict[str, dict[str, float | None]]]
"""split -> environment -> {risk, accuracy} (or other measures); None where the value is not finite."""

ROWS = 10_000
"""Most inputs in one forward pass per trial: bounds the memory of activations, changes no result."""


@dataclass(frozen=True)
class StackedSet:
    """One split for S trials.

    Attributes
    ----------
    inputs
        `[S, m, *features]`.
    index, labels
        Per environment, `[S, n]`: which inputs it has, under which labels.
    names
        Per trial, the names of its environments; stacked trials have equally many.
    """

    inputs: Tensor
    index: Sequence[Tensor]
    labels: Sequence[Tensor]
    names: Sequence[Sequence[str]]

    @classmethod
    def of(cls, sets: Sequence[EvaluationSet], device: torch.device, dtype: torch.dtype) -> StackedSet:
        """Stack the trials' own sets, environment by environment."""
        columns = list(zip(*(list(s.environments.values()) for s in sets), strict=True))
        return cls(
            torch.from_numpy(np.stack([s.inputs for s in sets])).to(device, dtype),
            [torch.from_numpy(np.stack([e.index for e in column])).to(device) for column in columns],
            [torch.from_numpy(np.stack([e.labels for e in column])).to(device) for column in columns],
            [list(s.environments) for s in sets],
        )


Predict = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""From one trial's parameters and inputs `[m, *features]` to its logits."""


def stacked_logits(predict: Predict, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return `[S, m]` or `[S, m, classes]` logits of `[S, m, *features]` inputs."""
    apply = torch.func.vmap(predict) if inputs.shape[0] > 1 else lifted(predict)
    return torch.cat([apply(parameters, chunk) for chunk in torch.split(inputs, ROWS, dim=1)], dim=1)


def lifted(function: Any) -> Any:
    """Return `function` acting on a stack of one: what vmap would compute, without its overhead."""

    def on_stack_of_one(*arguments: Any) -> Any:
        squeezed = torch.utils._pytree.tree_map_only(Tensor, lambda t: t.squeeze(0), arguments)
        return torch.utils._pytree.tree_map_only(Tensor, lambda t: t.unsqueeze(0), function(*squeezed))

    return on_stack_of_one


@torch.no_grad()
def evaluate(predict: Predict, parameters: Mapping[str, Tensor], sets: Mapping[str, StackedSet]) -> list[Scores]:
    """Return each trial's scores."""
    trials = next(iter(parameters.values())).shape[0]
    scores: list[Scores] = [{split: {} for split in sets} for _ in range(trials)]
    for split, stacked in sets.items():
        logits = stacked_logits(predict, parameters, stacked.inputs)
        rows = torch.arange(trials, device=logits.device).unsqueeze(1)
        for e, (index, labels) in enumerate(zip(stacked.index, stacked.labels, strict=True)):
            z, y = logits[rows, index].flatten(0, 1), labels.flatten()
            risks = losses(z, y).view_as(index).mean(1).tolist()
            accuracies = correct(z, y).view_as(index).double().mean(1).tolist()
            for trial in range(trials):
                finite = math.isfinite(risks[trial])
                scores[trial][split][stacked.names[trial][e]] = {
                    "risk": risks[trial] if finite else None,
                    "accuracy": accuracies[trial] if finite else None,
                }
    return scores
