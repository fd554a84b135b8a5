"""Information bottleneck methods, IB-ERM and IB-IRM, which penalise the variance of the representation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.backbones.backbone import in_full
from irm_sweeps.config import Count, Number
from irm_sweeps.methods.irmv1 import IRMv1
from irm_sweeps.methods.method import Method, Point, Turn
from irm_sweeps.methods.risks import columns
from irm_sweeps.methods.stages import Stage


def variance(at: Point, features: Tensor, logits: Tensor, bottleneck: str) -> Tensor:
    """Return the unbiased variance within each environment, averaged over dimensions and environments.

    The variance of an environment with a single image is 0.
    """
    values = in_full(features) if bottleneck == "features" else columns(logits)
    if at.batch.even and len(values) > at.batch.environments:
        return at.batch.by_environment(values).var(dim=1).mean()
    return at.batch.each(lambda own: own.var(0) if len(own) > 1 else own.sum(0) * 0, values).mean()


class IBERM(Method):
    """Ahuja et al. (2021): risk + lam times the variance of the representation."""

    reference: ClassVar[str] = "Ahuja et al. (2021), IB-ERM; DomainBed's form"
    default_lam: ClassVar[float | None] = 100.0
    """DomainBed's default (`ib_lambda`)."""
    delay: ClassVar[str] = "anneal"

    bottleneck: Literal["features", "logits"]
    """Whose variance is penalised: the representation's (DomainBed, and according to its author the paper's Table 4)
    or the output's (the paper's text)."""
    anneal: Count
    """Number of steps before the penalty gets the weight `lam`; its weight is 0 until then."""
    reset_optimizer: bool = False
    """Whether the optimizer state is reset when the anneal ends (DomainBed)."""

    def stages(self) -> Sequence[Stage]:
        """Return the stage of the penalty with weight `lam`."""
        return [Stage("penalty", int(self.anneal), restarts=self.reset_optimizer, numbers_only=True)]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective."""
        features = at.features()
        logits = at.logits(features)
        risks = at.risks(logits)
        spread = variance(at, features, logits, self.bottleneck)
        weight = torch.where(at.begun("penalty"), at.numbers["lam"], 0.0)
        objective = risks.mean() + at.l2() + weight * spread
        return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": spread})


class IBIRM(IRMv1):
    """Ahuja et al. (2021): IRMv1 with weight lam, and the variance of the representation with weight ib_lam."""

    reference: ClassVar[str] = "Ahuja et al. (2021), IB-IRM; DomainBed's form"
    default_lam: ClassVar[float | None] = 100.0
    """DomainBed's default (`irm_lambda`)."""

    bottleneck: Literal["features", "logits"]
    """As in IB-ERM."""
    ib_lam: Annotated[Number, Field(ge=0)]
    """Weight of the variance."""
    ib_anneal: Count
    """Number of steps before the variance gets its weight; its weight is 0 until then."""

    def stages(self) -> Sequence[Stage]:
        """Return the stages of either penalty; both restart the optimizer with `reset_optimizer` (DomainBed)."""
        restarts = self.reset_optimizer
        return [*super().stages(), Stage("bottleneck", int(self.ib_anneal), restarts=restarts, numbers_only=True)]

    def further_term(self, at: Point, features: Tensor, logits: Tensor) -> Tensor:
        """Return the weighted variance."""
        weight = torch.where(at.begun("bottleneck"), at.numbers["ib_lam"], 0.0)
        return weight * variance(at, features, logits, self.bottleneck)
