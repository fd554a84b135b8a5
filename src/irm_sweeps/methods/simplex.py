"""A small linear program over the probability simplex, solved by its vertices."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

TOLERANCE = 1e-9
"""How far a constraint of a row scaled to 1 may be violated."""


def best_on_simplex(value: Tensor, rows: Tensor, bounds: Tensor) -> Tensor:
    """Return the weights a that maximise value . a with a >= 0, sum(a) = 1 and rows . a >= bounds.

    An optimum is at a vertex, where k - 1 of the constraints hold with equality; all of them are tried, so this is for
    few weights. It has no branch on values, and stacks under `torch.func.vmap`.

    Parameters
    ----------
    value
        `[k]`.
    rows, bounds
        `[m, k]` and `[m]`; a bound of minus infinity is no constraint.

    Returns
    -------
    Tensor
        `[k]`; nan where no weights meet the constraints.
    """
    k = len(value)
    normals = torch.cat([torch.eye(k, dtype=value.dtype, device=value.device), rows])
    limits = torch.cat([torch.zeros_like(value), bounds])
    scale = normals.abs().amax(1).clamp(min=torch.finfo(value.dtype).tiny)
    normals, limits = normals / scale.unsqueeze(1), limits / scale
    active = torch.tensor(list(combinations(range(len(normals)), k - 1)), device=value.device)
    systems = torch.cat([normals[active], torch.ones_like(value).expand(len(active), 1, k)], 1)
    sides = torch.cat([limits[active], torch.ones_like(limits[:1]).expand(len(active), 1)], 1)
    vertices = _solved(systems, torch.where(sides.isfinite(), sides, 0.0))
    feasible = (
        (vertices @ normals.T >= limits - TOLERANCE).all(1) & sides.isfinite().all(1) & vertices.isfinite().all(1)
    )
    values = torch.where(feasible, vertices.nan_to_num(0.0) @ value, -torch.inf)
    best = vertices.index_select(0, values.argmax().unsqueeze(0)).squeeze(0).clamp(min=0.0)
    return torch.where(feasible.any(), best / best.sum(), torch.nan)


def _solved(systems: Tensor, sides: Tensor) -> Tensor:
    """Return the solutions `[n, k]` of systems `[n, k, k]`; not finite where a system is singular."""
    solution, info = torch.linalg.solve_ex(systems, sides)
    return torch.where((info == 0).unsqueeze(1), solution, torch.nan)
