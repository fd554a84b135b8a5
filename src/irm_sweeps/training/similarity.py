"""Measure the similarity of representations: between test environments, and before and after a method's inner step.

Both use PWCCA. They appear in a trial's scores as additional splits: `representation/0.9/pwcca` is the similarity of
the test environment 0.9 to the first one, `inner_step/layer1/pwcca` that of the first hidden layer before and after
the inner step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters
from irm_sweeps.errors import UserError
from irm_sweeps.methods.batch import Batch
from irm_sweeps.methods.method import Method, Point
from irm_sweeps.methods.risks import Loss, columns
from irm_sweeps.training.batches import counts_if_unequal
from irm_sweeps.training.evaluation import Scores
from irm_sweeps.training.pwcca import Side, pwcca
from irm_sweeps.training.stacked_data import StackedData
from irm_sweeps.training.timeline import Timeline

IMAGES = 10_000
"""Maximum number of inputs of an environment that are compared: its first ones. With fewer inputs than about ten times
the units of a layer, unrelated representations look similar. MNIST's 10,000 test images take 0.2 s per evaluation for 9
environments and 128 units, on one core."""


class Similarity:
    """Measures the similarities of a stack's trials.

    Parameters
    ----------
    kind
        The value of `training.similarity`: which similarities to measure.
    paired
        Whether the test environments hold the same inputs in the same order, except for the spurious features.
    loss
        The dataset's loss, which the inner step decreases.

    Raises
    ------
    UserError
        The test environments cannot be compared, since their inputs differ.
    """

    def __init__(self, kind: str, method: Method, model: Model, paired: bool, loss: Loss) -> None:
        self._method, self._model, self._loss = method, model, loss
        self._environments = kind in ("environments", "both")
        self._inner_step = kind in ("inner_step", "both")
        if self._environments and not paired:
            raise UserError(
                f"training.similarity={kind} needs the same inputs in every test environment, which this dataset does "
                "not draw (dataset.test_on=whole does, for punctuated_sst2)"
            )

    @torch.no_grad()
    def of(
        self,
        parameters: Mapping[str, Tensor],
        numbers: Mapping[str, Tensor],
        data: StackedData,
        step: int,
        timeline: Timeline,
    ) -> list[Scores]:
        """Return each trial's additional splits; parameters and numbers are those of the whole stack."""
        trials = next(iter(parameters.values())).shape[0]
        scores: list[Scores] = [{} for _ in range(trials)]
        for i, splits in enumerate(scores):
            trial_parameters = {name: p[i] for name, p in parameters.items()}
            if self._environments:
                splits["representation"] = self._across_environments(trial_parameters, data, step, i)
            if self._inner_step:
                train = data.sets["train"]
                inputs = torch.cat([piece[i] for piece in data.pieces("train", step)])
                labels = torch.cat([labels[i] for labels in train.labels])
                trial_numbers = {name: value[i] for name, value in numbers.items()}
                counts = counts_if_unequal([labels.shape[1] for labels in train.labels])
                index, side = data.evaluated(i)
                batch = Batch(inputs, labels, len(train.labels), counts, index, side)
                now = torch.full((), step, dtype=torch.int64, device=inputs.device)
                at = Point(
                    self._model,
                    trial_parameters,
                    batch,
                    trial_numbers,
                    now,
                    self._loss,
                    phase=timeline.stage(step).name,
                    begins={name: first[i] for name, first in timeline.begins.items()},
                )
                splits["inner_step"] = self._across_inner_step(at)
        return scores

    def _across_environments(
        self, parameters: Parameters, data: StackedData, step: int, i: int
    ) -> dict[str, dict[str, float | None]]:
        """Compare every test environment with the first one, on the first `IMAGES` inputs of each."""
        test = data.sets["test"]
        pieces = [self._method.representation(self._model, parameters, x[i]) for x in data.pieces("test", step)]
        values = torch.cat([columns(piece) for piece in pieces])
        sides = [Side.of(values[index[i, :IMAGES]].flatten(1)) for index in test.index]
        return {name: {"pwcca": pwcca(sides[0], side)} for name, side in zip(test.names[i], sides, strict=True)}

    def _across_inner_step(self, at: Point) -> dict[str, dict[str, float | None]]:
        """Compare every layer before and after the inner step on each environment; return means over environments."""
        similarities: dict[str, list[float | None]] = {}
        inputs = at.batch.split(at.batch.inputs)
        for x, adapted in zip(inputs, self._method.adapted(at), strict=True):
            before, after = (at.model.layers(parameters, x[:IMAGES]) for parameters in (at.parameters, adapted))
            for name, values in before.items():
                similarities.setdefault(name, []).append(pwcca(Side.of(values), Side.of(after[name])))
        return {name: {"pwcca": _mean(values)} for name, values in similarities.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if a value is None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
