"""CORAL: penalise differences of the representations' means and covariances between environments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar

from torch import Tensor

from irm_sweeps.backbones.backbone import in_full
from irm_sweeps.methods.method import Method, Point, Turn


class CORAL(Method):
    """Sun & Saenko (2016), in DomainBed's form: mean risk + lam times, averaged over pairs of environments, the
    mean squared difference of the features' means plus that of their covariances."""

    reference: ClassVar[str] = "Sun & Saenko (2016); DomainBed's form"
    default_lam: ClassVar[float | None] = 1.0
    """DomainBed's default (`mmd_gamma`)."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective."""
        features = at.features()
        risks = at.risks(at.logits(features))
        features = in_full(features)
        means = at.batch.means(features)
        covariances = at.batch.each(self._covariance, features)
        pairs = list(combinations(range(len(means)), 2))
        distances: list[Tensor] = [
            (means[i] - means[j]).square().mean() + (covariances[i] - covariances[j]).square().mean() for i, j in pairs
        ]
        penalty = sum(distances[1:], distances[0]) / len(pairs) if pairs else risks.sum() * 0
        objective = risks.mean() + at.l2() + at.numbers["lam"] * penalty
        return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": penalty})

    @staticmethod
    def _covariance(features: Tensor) -> Tensor:
        """Return the unbiased covariance `[width, width]` of `[n, width]` features; 0 for a single image."""
        centred = features - features.mean(0)
        return centred.mT @ centred / max(len(features) - 1, 1)
