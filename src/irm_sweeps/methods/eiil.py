"""EIIL: infer environments from the errors of a reference model, then train IRMv1 on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.config import Count
from irm_sweeps.methods.method import STATE, Method, Move, Pace, Point, Turn
from irm_sweeps.methods.stages import Boundary, Stage

SOFT = STATE + "soft_environment"
"""Logits of the probability q with which each training image belongs to the first inferred environment, `[images]`."""
INFERRED = STATE + "environment"
"""1 for images of the first inferred environment, 0 for those of the second, `[images]`."""


class EIIL(Method):
    """Creager et al. (2021): find the two environments that violate invariance most, then train IRMv1 on them.

    Three stages. `reference`: ERM. `inference`: the model is frozen, and q, one number per training image, maximises
    the mean over both soft environments of ||grad_w mean_i q_i loss_i||^2 (their Eq. 5). `invariance`: each image
    belongs to the environment that is likelier under its q, and a newly drawn model minimises the mean risk + l2 +
    weight * IRMv1's penalty of these environments, divided by the weight, which is 1 for `anneal` steps and then lam.
    The dataset's own environments are pooled from the second stage on.
    """

    reference: ClassVar[str] = "Creager et al. (2021), Eq. 5 and Algorithm 1"
    default_lam: ClassVar[float | None] = 191257.0
    """That of the released Colored MNIST command."""

    reference_steps: Annotated[int, Field(ge=0)]
    """Steps of the reference model."""
    inference_steps: Annotated[int, Field(ge=0)]
    """Steps of q, each on a batch."""
    inference_lr_scale: Annotated[float, Field(gt=0)]
    """The learning rate of q over the trial's: the released code has .001 and 4.9e-4."""
    anneal: Count
    """Steps of the third stage before the penalty's weight becomes lam."""

    def image_parameters(self, images: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return standard normal logits of q, and no image in the first environment yet."""
        drawn = torch.randn(images, generator=generator, dtype=torch.float32, device="cpu")
        return {SOFT: drawn, INFERRED: torch.zeros_like(drawn)}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the model and q."""
        return {"model": [name for name in names if not name.startswith(STATE)], "environments": [SOFT]}

    def pace(self, player: str) -> Pace:
        """Return the learning rate of q."""
        return Pace(lr=self.inference_lr_scale if player == "environments" else 1.0)

    def stages(self) -> Sequence[Stage]:
        """Return the three stages, and that of the penalty's weight."""
        begins = self.reference_steps + self.inference_steps
        return [
            Stage("reference"),
            Stage("inference", self.reference_steps, moves=[Move(["environments"])]),
            Stage("invariance", begins, restarts=True),
            Stage("penalty", begins + int(self.anneal), numbers_only=True),
        ]

    def enter(self, stage: str, at: Boundary) -> Mapping[str, Tensor]:
        """Return, for the third stage, the inferred environments and a newly drawn model."""
        if stage != "invariance":
            return {}
        soft = at.parameters[SOFT]
        return {INFERRED: (soft.sigmoid() > 0.5).to(soft.dtype), **at.fresh("invariance")}

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective of the stage's player."""
        assert at.batch.index is not None
        if at.phase == "inference":
            q = at.parameters[SOFT].gather(0, at.batch.index).sigmoid()
            gradients = at.multiplier_gradients(at.logits(at.frozen_features()).detach())
            both = torch.stack([(q * gradients).mean(), ((1 - q) * gradients).mean()])
            return Turn(dict.fromkeys(moving, -both.square().mean()), {})
        logits = at.logits(at.features())
        risks = at.risks(logits)
        if at.phase == "reference":
            return Turn(dict.fromkeys(moving, risks.mean() + at.l2()), {"risks": risks})
        first = at.parameters[INFERRED][at.batch.index]
        members = torch.stack([first, 1 - first])
        risk = _mean_over_environments(members, at.loss.losses(logits, at.batch.labels), power=1)
        penalty = _mean_over_environments(members, at.multiplier_gradients(logits), power=2)
        weight = torch.where(at.begun("penalty"), at.numbers["lam"], 1.0)
        objective = (risk + at.l2() + weight * penalty) / weight.clamp(min=1.0)
        return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": penalty})


def _mean_over_environments(members: Tensor, values: Tensor, power: int) -> Tensor:
    """Return the mean, over the environments with images in the batch, of a power of their mean values."""
    sizes = members.sum(1)
    means: Tensor = (members * values).sum(1) / sizes.clamp(min=1.0)
    return means.pow(power).sum() / (sizes > 0).sum()
