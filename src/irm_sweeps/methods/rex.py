"""V-REx, MM-REx and RVP: penalise differences between the environments' risks."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from irm_sweeps.methods.method import Point
from irm_sweeps.methods.penalized import Penalized
from irm_sweeps.methods.risks import population_std


class VREx(Penalized):
    """V-REx (Krueger et al. 2020): penalise the variance of the risks."""

    reference: ClassVar[str] = "Krueger et al. (2020), V-REx"
    default_lam: ClassVar[float | None] = 10_000.0
    """The default of REx's Colored MNIST script, with which its numbers were made."""

    variance: Literal["squared_differences", "population", "sample"]
    """`squared_differences`: sum over pairs of (R_i - R_j)^2, the released code's for two environments, and
    E^2 times the `population` variance (DomainBed, IRMBed); `sample` divides by E - 1."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the chosen measure of spread."""
        del at, features, logits
        n = risks.shape[0]
        squares = (risks - risks.mean()).square().sum()
        return squares * {"squared_differences": n, "population": 1 / n, "sample": 1 / max(n - 1, 1)}[self.variance]


class MMREx(Penalized):
    """MM-REx (Krueger et al. 2020): penalise how far the worst risk exceeds the others.

    The released code's |R_1 - R_2| for two environments. For E environments, E (max R - mean R): with the
    sum of risks and weight w it is, up to the factor E, the paper's minimax objective
    (1 - E l) max R + l sum R at l = (1 - w) / E.
    """

    reference: ClassVar[str] = "Krueger et al. (2020), MM-REx"
    default_lam: ClassVar[float | None] = 10_000.0
    """The default of REx's Colored MNIST script, with which its numbers were made."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return E (max R - mean R)."""
        del at, features, logits
        return risks.shape[0] * (risks.max() - risks.mean())


class RVP(Penalized):
    """RVP (Xie et al. 2020): penalise the (population) standard deviation of the risks.

    Where the risks are equal the square root has no gradient; the subgradient 0 is taken.
    """

    reference: ClassVar[str] = "Xie et al. (2020), RVP"
    default_lam: ClassVar[float | None] = 10_000.0
    """Ours: MM-REx's, which this is up to a factor 2 for two environments. Xie et al. tune it."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the standard deviation of the risks."""
        del at, features, logits
        return population_std(risks)
