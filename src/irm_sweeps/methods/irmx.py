"""IRMX: the penalties of IRMv1 and V-REx together."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from irm_sweeps.config import Number
from irm_sweeps.methods.irmv1 import IRMv1
from irm_sweeps.methods.method import Point
from irm_sweeps.methods.risks import sample_variance


class IRMX(IRMv1):
    """Chen et al. (2023): IRMv1's penalty + `vrex_weight` times the sample variance of the risks, both weighted by lam.

    The paper shows a failure of IRMv1 (Kamath et al.'s two-bit problem) that the variance mends.
    """

    reference: ClassVar[str] = "Chen et al. (2023), Pareto Invariant Risk Minimization, Eq. 5 (IRMX)"

    vrex_weight: Annotated[Number, Field(ge=0)]
    """Weight of the variance, in units of lam."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return IRMv1's penalty plus the weighted variance."""
        return super().penalty(at, features, logits, risks) + at.numbers["vrex_weight"] * sample_variance(risks)
