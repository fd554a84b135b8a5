"""Empirical risk minimisation: the baseline, and on grayscale data the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from irm_sweeps.methods.method import Method, Point, Turn
from irm_sweeps.methods.risks import Pooling, pooled


class ERM(Method):
    """Minimise the pooled risk of the training environments."""

    uses_lam: ClassVar[bool] = False
    reference: ClassVar[str] = "Vapnik (1998); the baseline of both papers"

    risk: Pooling
    """How the environments' risks are pooled."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return risk + l2."""
        risks = at.risks(at.logits(at.features()))
        objective = pooled(risks, self.risk) + at.l2()
        return Turn(dict.fromkeys(moving, objective), {"risks": risks})
