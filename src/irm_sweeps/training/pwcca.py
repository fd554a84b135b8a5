"""Projection-weighted canonical correlation analysis (PWCCA): how similar two representations are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CONSTANT = 1e-12
"""A unit whose variance is below this fraction of its mean square counts as constant and is left out."""

DEPENDENT = 1e-10
"""Eigenvectors of the units' correlation matrix with eigenvalues below this fraction of the largest are left out."""


@dataclass(frozen=True)
class Side:
    """One representation, centred and whitened for comparison with others.

    Attributes
    ----------
    values
        `[n, d]` float64, centred, without constant units.
    whitening
        `[d, r]`: `values @ whitening` has r uncorrelated columns of variance 1.
    """

    values: Tensor
    whitening: Tensor

    @classmethod
    def of(cls, units: Tensor) -> Side:
        """Return the side of the values `[n, d]` of d units on n inputs; linearly dependent units share directions."""
        values = units.double() - units.double().mean(0)
        variance = values.square().mean(0)
        varies = variance > CONSTANT * units.double().square().mean(0)
        values, scale = values[:, varies], variance[varies].sqrt()
        if not values.shape[1]:
            return cls(values, values.new_empty(0, 0))
        eigenvalues, directions = torch.linalg.eigh((values / scale).mT @ (values / scale) / len(values))
        kept = eigenvalues > DEPENDENT * eigenvalues[-1]
        return cls(values, directions[:, kept] / eigenvalues[kept].sqrt() / scale.unsqueeze(-1))

    @property
    def rank(self) -> int:
        """Number of directions."""
        return self.whitening.shape[1]


def canonical_correlations(x: Side, y: Side) -> tuple[Tensor, Tensor]:
    """Return the correlations `[min(rank)]`, descending, and the directions of x's variates in its whitened basis."""
    cross = (x.values @ x.whitening).mT @ (y.values @ y.whitening) / len(x.values)
    directions, correlations, _ = torch.linalg.svd(cross, full_matrices=False)
    return correlations.clamp(max=1.0), directions


def pwcca(x: Side, y: Side) -> float | None:
    """Return the PWCCA similarity of Morcos et al. (2018), in [0, 1]; None if either side is constant.

    With canonical correlations rho_i and variates h_i of one side, of units x_j: sum_i a_i rho_i, where a_i is
    proportional to sum_j |<h_i, x_j>| and sums to 1. The variates are those of the side with fewer directions; of x
    if there are equally many. This is the definition; google/svcca's pwcca.py forms h_i without the whitening.
    Between single units it is the absolute value of Pearson's correlation.
    """
    if not x.rank or not y.rank:
        return None
    if x.rank > y.rank:
        x, y = y, x
    correlations, directions = canonical_correlations(x, y)
    variates = x.values @ x.whitening @ directions
    weights = (variates.mT @ x.values).abs().sum(1)
    return float((weights * correlations).sum() / weights.sum())
