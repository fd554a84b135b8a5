"""How alike representations are: across test environments, and before and after a method's inner step.

Both are measured by PWCCA and stand among a trial's scores as splits of their own: `representation/0.9/pwcca` is
the similarity of the test environment 0.9 to the first one, `inner_step/layer1/pwcca` that of the first hidden
layer before and after the inner step.
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
from irm_sweeps.training.batches import counted
from irm_sweeps.training.evaluation import Scores
from irm_sweeps.training.pwcca import Side, pwcca
from irm_sweeps.training.stacked_data import StackedData

IMAGES = 10_000
"""Most inputs of an environment that are compared, its first ones. Fewer than some ten times the units of a layer
make unrelated representations look alike; all of MNIST's test images are few enough to compare at every evaluation:
a fifth of a second for 9 environments and 128 units, on one core."""


class Similarity:
    """Measures a stack's trials.

    Parameters
    ----------
    kind
        `training.similarity`.
    paired
        Whether the test environments show the same inputs in the same order, but for the spurious features.
    loss
        The dataset's, which the inner step goes down.

    Raises
    ------
    UserError
        The test environments cannot be compared.
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
        self, parameters: Mapping[str, Tensor], numbers: Mapping[str, Tensor], data: StackedData, step: int
    ) -> list[Scores]:
        """Return each trial's extra splits; the arguments are those of the whole stack."""
        trials = next(iter(parameters.values())).shape[0]
        found: list[Scores] = [{} for _ in range(trials)]
        for i, splits in enumerate(found):
            own = {name: p[i] for name, p in parameters.items()}
            if self._environments:
                splits["representation"] = self._across(own, data, step, i)
            if self._inner_step:
                train = data.sets["train"]
                inputs = torch.cat([piece[i] for piece in data.pieces("train", step)])
                labels = torch.cat([labels[i] for labels in train.labels])
                mine = {name: value[i] for name, value in numbers.items()}
                counts = counted([labels.shape[1] for labels in train.labels])
                batch = Batch(inputs, labels, len(train.labels), counts)
                now = torch.full((), step, dtype=torch.int64, device=inputs.device)
                phase = self._method.phase(step)
                at = Point(self._model, own, batch, mine, now, self._loss, phase=phase)
                splits["inner_step"] = self._through(at)
        return found

    def _across(
        self, parameters: Parameters, data: StackedData, step: int, i: int
    ) -> dict[str, dict[str, float | None]]:
        """Compare every test environment with the first; on the first `IMAGES` inputs of each."""
        test = data.sets["test"]
        pieces = [self._method.representation(self._model, parameters, x[i]) for x in data.pieces("test", step)]
        values = torch.cat([columns(piece) for piece in pieces])
        sides = [Side.of(values[index[i, :IMAGES]].flatten(1)) for index in test.index]
        return {name: {"pwcca": pwcca(sides[0], side)} for name, side in zip(test.names[i], sides, strict=True)}

    def _through(self, at: Point) -> dict[str, dict[str, float | None]]:
        """Compare every layer before and after the inner step, on the environment it is towards; mean over these."""
        found: dict[str, list[float | None]] = {}
        inputs = at.batch.split(at.batch.inputs)
        for x, adapted in zip(inputs, self._method.adapted(at), strict=True):
            before, after = (at.model.layers(parameters, x[:IMAGES]) for parameters in (at.parameters, adapted))
            for name, values in before.items():
                found.setdefault(name, []).append(pwcca(Side.of(values), Side.of(after[name])))
        return {name: {"pwcca": _mean(values)} for name, values in found.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
