"""A small linear program over the probability simplex, solved by its vertices."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-9
"""How far a constraint of a row scaled to 1 may be violated."""


def best_on_simplex(value: Tensor, rows: Tensor, bounds: Tensor) -> Tensor:
    """Return the three weights a that maximise value . a with a >= 0, sum(a) = 1 and rows . a >= bounds.

    An optimum is at a vertex, where two of the constraints hold with equality; all pairs are tried. It has no branch on
    values and copies nothing from the host, so it stacks under `torch.func.vmap`, and no device waits.

    Parameters
    ----------
    value
        `[3]`.
    rows, bounds
        `[m, 3]` and `[m]`; a bound of minus infinity is no constraint.

    Returns
    -------
    Tensor
        `[3]`; nan where no weights meet the constraints.
    """
    normals = torch.cat([torch.eye(3, dtype=value.dtype, device=value.device), rows])
    limits = torch.cat([torch.zeros_like(value), bounds])
    scale = normals.abs().amax(1).clamp(min=torch.finfo(value.dtype).tiny)
    normals, limits = normals / scale.unsqueeze(1), limits / scale
    first, second = torch.triu_indices(len(normals), len(normals), offset=1, device=value.device)
    sides = limits[first], limits[second]
    bounded = sides[0].isfinite() & sides[1].isfinite()
    vertices = _intersections(normals[first], normals[second], *(torch.where(bounded, side, 0.0) for side in sides))
    usable = bounded & vertices.isfinite().all(1)
    feasible = usable & (vertices @ normals.T >= limits - TOLERANCE).all(1)
    values = torch.where(feasible, vertices.nan_to_num(0.0) @ value, -torch.inf)
    best = vertices.index_select(0, values.argmax().unsqueeze(0)).squeeze(0).clamp(min=0.0)
    return torch.where(feasible.any(), best / best.sum(), torch.nan)


def _intersections(first: Tensor, second: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return where first . a = one, second . a = other and sum(a) = 1, `[n, 3]`, by Cramer's rule with cross products.

    Not finite where there is no one such point.
    """
    sums = torch.ones_like(first)
    across = torch.linalg.cross(second, sums)
    determinants = (first * across).sum(1, keepdim=True)
    intersections: Tensor = (
        one.unsqueeze(1) * across
        + other.unsqueeze(1) * torch.linalg.cross(sums, first)
        + torch.linalg.cross(first, second)
    ) / determinants
    return intersections
