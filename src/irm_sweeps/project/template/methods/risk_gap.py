"""A method of your own: ERM with a penalty. Rename it, and change what it penalises."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from irm_sweeps import Penalized, Point


class RiskGap(Penalized):
    """Penalise the squared difference between the highest and the lowest risk of the environments."""

    reference: ClassVar[str] = "unpublished"

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return (max R_e - min R_e)^2."""
        del at, features, logits
        return (risks.amax() - risks.amin()).square()
