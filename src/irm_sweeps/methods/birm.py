"""BIRM: IRMv1's penalty, averaged over random dummy classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.config import Number
from irm_sweeps.methods.method import Point
from irm_sweeps.methods.penalized import Penalized
from irm_sweeps.methods.risks import columns

MULTIPLIERS = "multipliers"


class BIRM(Penalized):
    """Lin et al. (2022): the mean over draws of w of ||grad_w R^e(w f)||^2, with w ~ N(1, sd^2) for each environment.

    With few images the gradient at w = 1 can vanish by overfitting; at several w it cannot. At sd = 0 the penalty is
    that of IRMv1 on the output.
    """

    reference: ClassVar[str] = "Lin et al. (2022), Bayesian Invariant Risk Minimization"
    default_lam: ClassVar[float | None] = 10_000.0
    """That of the authors' Colored MNIST script."""

    draws: Annotated[int, Field(ge=1)]
    """Number of draws of w at each step (10 in the release)."""
    sd: Annotated[Number, Field(ge=0)]
    """Standard deviation of w. The release divides a coefficient by the number of images: 1350 / 20,000 for its Colored
    MNIST."""
    form: Literal["squared", "even_odd"]
    """`squared`: the squared gradient over the batch (`bayes_irmv1`). `even_odd`: the product of the gradients over the
    even and odd images (`bayes_irmv1b`, which halves an environment anew at each step)."""

    def noise(self, parameters: Mapping[str, Tensor], environments: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of the draws of w, `[draws, environments]`."""
        del parameters
        return {MULTIPLIERS: (self.draws, environments)}

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the mean over draws and environments."""
        del features, risks
        # Clamped, since the quantile of 0 is minus infinity.
        normal = torch.special.ndtri(at.noise[MULTIPLIERS].clamp(1e-7, 1 - 1e-7))
        norms = [self._norms(at, logits, 1 + at.numbers["sd"] * draw).mean() for draw in normal]
        return torch.stack(norms).mean()

    def _norms(self, at: Point, logits: Tensor, multipliers: Tensor) -> Tensor:
        """Return each environment's squared gradient with respect to its own multiplier."""
        own = at.batch.of_images(multipliers)
        scaled = logits * (own if logits.ndim == 1 else own.unsqueeze(-1))
        gradients = (columns(at.residuals(scaled)) * columns(logits)).sum(-1)
        if self.form == "squared":
            return at.batch.means(gradients).square()
        even, odd = at.batch.half_means(gradients)
        return even * odd
