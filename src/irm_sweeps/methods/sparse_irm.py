"""SparseIRM: IRM on a network of which a learnt random mask keeps a share of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters
from irm_sweeps.config import Count
from irm_sweeps.methods.method import STATE, Fresh, Method, Move, Pace, Point, Turn
from irm_sweeps.methods.stages import Stage

SCORE = STATE + "score."
OFFSET = STATE + "offset."
MARGIN = 1e-6
"""How near to 0 or 1 a probability counts as that: the mask of its weight is then certain."""
LAST_TEMPERATURE = 0.03
"""Temperature of the relaxed mask at the end of training; it falls to this linearly from 1 (released code)."""
BISECTIONS = 50

Share = Annotated[float, Field(ge=0, lt=1)]


class SparseIRM(Method):
    """Zhou et al. (2022): a mask m ~ Bernoulli(s) on the weights, whose probabilities s sum to a share of their number.

    The weights minimise (risk + l2 + w * penalty) / scale of the masked network, with w = 0 for `anneal` steps and then
    lam, and scale 1 + w where w > 1. The probabilities minimise the same through a relaxed mask (binary concrete),
    whose temperature falls, and after each step are projected on {0 <= s <= 1, sum s <= share * number of weights}.
    The share falls as a cubic from 1 to `kept`. All this is as released, but the share is at each step what it is one
    later there. Not as released: an evaluation keeps the weights with s > 1/2 (there it draws a mask, and the best test
    accuracy of all is reported). Biases and other vectors have no mask.

    A probability is the sum of a score, which the trial's optimizer steps, and of an offset. With `descent`, half the
    squared distance from the constraint moves the offset such that the sum is projected.
    """

    reference: ClassVar[str] = "Zhou et al. (2022), Sparse Invariant Risk Minimization; the released code"
    default_lam: ClassVar[float | None] = 10_000.0
    """That of the released Colored MNIST command."""
    delay: ClassVar[str] = "anneal"

    penalty: Literal["irmv1", "vrex"]
    """IRMv1's on the output, or the population variance of the risks."""
    anneal: Count
    """Number of steps before the penalty weight becomes lam; it is 0 until then."""
    kept: Annotated[float, Field(gt=0, le=1)]
    """Share of the weights that is kept in the end."""
    sparse_from: Share
    """Share of the steps after which the kept share begins to fall; until then the network is dense."""
    sparse_until: Share
    """Share of the steps after which it is `kept`."""
    scores_lr_scale: Annotated[float, Field(gt=0)]
    """The scores' learning rate over the trial's (6e-3 over 6e-4 in the release)."""

    @model_validator(mode="after")
    def _falls(self) -> SparseIRM:
        if self.sparse_from >= self.sparse_until:
            raise ValueError(
                f"sparse_from={self.sparse_from:g} is not before sparse_until={self.sparse_until:g}, between which the "
                "kept share falls"
            )
        return self

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return scores of 1 and offsets of 0 for all weights."""
        del environments, generator
        weights = {name: value for name, value in fresh("backbone").items() if value.ndim > 1}
        scores = {SCORE + name: torch.ones_like(value) for name, value in weights.items()}
        return {**scores, **{OFFSET + name: torch.zeros_like(value) for name, value in weights.items()}}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the model, the scores and the offsets."""
        return {
            "model": [name for name in names if not name.startswith((SCORE, OFFSET))],
            "scores": [name for name in names if name.startswith(SCORE)],
            "offsets": [name for name in names if name.startswith(OFFSET)],
        }

    def pace(self, player: str) -> Pace:
        """Return the scores' learning rate, and for the offsets the step that is the projection."""
        if player == "offsets":
            return Pace("descent", decays=False)
        return Pace(lr=self.scores_lr_scale if player == "scores" else 1.0)

    def stages(self) -> Sequence[Stage]:
        """Return the dense and the sparse stage, and those of the share and of the penalty."""
        return [
            Stage("dense"),
            Stage("sparse", self.sparse_from, moves=[Move(["model", "scores"]), Move(["offsets"])]),
            Stage("kept", self.sparse_until, numbers_only=True),
            Stage("penalty", int(self.anneal), numbers_only=True),
        ]

    def noise(self, parameters: Mapping[str, Tensor], environments: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the masks."""
        del environments
        return {name: tuple(value.shape) for name, value in parameters.items() if name.startswith(SCORE)}

    def predict(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits of the weights that are likelier kept than not."""
        kept = self._kept(parameters)
        return model.classify(kept, model.represent(kept, inputs))

    def representation(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the representation of these weights."""
        return model.represent(self._kept(parameters), inputs)

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the masked network's objective, or the offsets' distance from the constraint."""
        if "offsets" in moving:
            return Turn({"offsets": self._half_squared_distance(at)}, {})
        masked = at if at.phase == "dense" else self._masked(at)
        logits = masked.logits(masked.features())
        risks = at.risks(logits)
        penalty = self._penalty(at, logits, risks)
        weight = torch.where(at.begun("penalty"), at.numbers["lam"], 0.0)
        scale = torch.where(weight > 1, 1 + weight, 1.0)
        objective = (at.pool(risks, "images") + at.l2() + weight * penalty) / scale
        return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": penalty})

    def _penalty(self, at: Point, logits: Tensor, risks: Tensor) -> Tensor:
        if self.penalty == "vrex":
            return (risks - risks.mean()).square().mean()
        return at.irm_penalty(logits)

    def _kept(self, parameters: Parameters) -> dict[str, Tensor]:
        probabilities = _probabilities(parameters)
        masks = {name: (value > 0.5).to(value.dtype) for name, value in probabilities.items()}
        return {**parameters, **{name: parameters[name] * mask for name, mask in masks.items()}}

    def _masked(self, at: Point) -> Point:
        """Return the point with the weights under this step's relaxed mask."""
        step, end = at.step.to(at.numbers["lam"].dtype), at.begins["kept"] / self.sparse_until
        temperature = 1 - (1 - LAST_TEMPERATURE) * (step / end.clamp(min=1)).clamp(max=1)
        weights = {
            name: at.parameters[name] * _relaxed(probability, at.noise[SCORE + name], temperature)
            for name, probability in _probabilities(at.parameters).items()
        }
        return replace(at, parameters={**at.parameters, **weights}, passes=None)

    def _half_squared_distance(self, at: Point) -> Tensor:
        begins, ends = at.begins["sparse"], at.begins["kept"]
        done = ((at.step + 1 - begins) / (ends - begins).clamp(min=1)).clamp(max=1)
        share = self.kept + (1 - self.kept) * (1 - done) ** 3
        scores = {name: value.detach() for name, value in at.parameters.items() if name.startswith(SCORE)}
        sums = torch.cat([value.flatten() for value in _probabilities({**at.parameters, **scores}).values()])
        return (sums - projected(sums.detach(), share * sums.numel())).square().sum() / 2


def _probabilities(parameters: Parameters) -> dict[str, Tensor]:
    """Return s of each weight, by the name of its tensor."""
    weights = [name.removeprefix(SCORE) for name in parameters if name.startswith(SCORE)]
    return {name: parameters[SCORE + name] + parameters[OFFSET + name] for name in weights}


def _relaxed(probability: Tensor, uniform: Tensor, temperature: Tensor) -> Tensor:
    """Return a mask with entries in [0, 1], near 0 or 1 at low temperatures."""
    inside = probability.clamp(MARGIN, 1 - MARGIN)
    drawn = ((inside.logit() + uniform.logit(MARGIN)) / temperature).sigmoid()
    return torch.where(inside == probability, drawn, probability.round().clamp(0, 1).detach())


def projected(values: Tensor, budget: Tensor) -> Tensor:
    """Return the nearest values in [0, 1] that sum to at most the budget: (values - v) clamped, with v by bisection."""
    low, high = torch.zeros_like(budget), values.max().clamp(min=0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = (values - middle).clamp(0, 1).sum() > budget
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (values - torch.where(values.clamp(0, 1).sum() > budget, high, 0.0)).clamp(0, 1)
