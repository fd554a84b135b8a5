"""EQRM: minimise a high quantile of the distribution of risks over environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from irm_sweeps.config import Count
from irm_sweeps.methods.method import Method, Point, Turn
from irm_sweeps.methods.risks import population_std
from irm_sweeps.methods.stages import Stage


class EQRM(Method):
    """Eastwood et al. (2022): the alpha-quantile of a Gaussian kernel density over the risks, for alpha next to 1.

    There the quantile is mean risk + h sqrt(2 lam), with lam = -log(1 - alpha) and the bandwidth h = 1.06 s n^(-1/5) of
    n risks with sample standard deviation s. It is the form of the released code for alpha < 0, where alpha is -lam,
    and of all its Colored MNIST runs (lam 100 to 10,000). The release also divides the loss after the anneal by the
    growth of its gradient, which Adam does not notice. Where the risks are equal the standard deviation has no
    gradient, and 0 is taken.

    The release (CMNIST/train.py with the README's --lr_cos_sched; CMNIST/networks.py) has three hidden layers of 390
    with dropout of .2, no l2, and lets the learning rate fall as half a cosine after the anneal. `protocol=released` on
    `backbone=mlp` has all of it but the dropout, which no network here has. Each of its rates comes one update later
    than in the release, whose last update has rate 0.
    """

    reference: ClassVar[str] = "Eastwood et al. (2022), Eq. 5 and Appendix B"
    default_lam: ClassVar[float | None] = 1000.0
    """That of the authors' example for Colored MNIST (`--alpha -1000`)."""
    delay: ClassVar[str] = "anneal"

    anneal: Count
    """Number of steps of ERM before the quantile is minimised (400 of 600 in the release)."""
    reset_optimizer: bool
    """Whether the optimizer state is reset when the anneal ends (the release does)."""

    def stages(self) -> Sequence[Stage]:
        """Return the stage in which the quantile is minimised."""
        return [Stage("quantile", int(self.anneal), restarts=self.reset_optimizer, numbers_only=True)]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the quantile, plus l2."""
        risks = at.risks(at.logits(at.features()))
        n = len(risks)
        bandwidth = 1.06 * n**-0.2 * population_std(risks) * (n / max(n - 1, 1)) ** 0.5
        weight = torch.where(at.begun("quantile"), at.numbers["lam"], 0.0)
        objective = risks.mean() + (2 * weight).sqrt() * bandwidth + at.l2()
        return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": bandwidth})
