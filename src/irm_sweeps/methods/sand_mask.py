"""SAND-mask: weight each entry of the gradient by how far the environments agree on it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from irm_sweeps.methods.and_mask import ANDMask


class SANDMask(ANDMask):
    """Shahtalebi et al. (2021): AND-mask with the smooth mask max(0, tanh(k / var_e(grad_e) (|mean_e sign| - tau))).

    DomainBed's form. The variance is the unbiased one over environments; of a single environment it counts as 1e-17.
    """

    reference: ClassVar[str] = "Shahtalebi et al. (2021), SAND-mask, Eq. 4; DomainBed's form"

    k: Annotated[float, Field(gt=0)]
    """How steep the mask is, in units of the gradients' variance."""

    def _masked(self, gradients: Tensor) -> Tensor:
        agreement = gradients.sign().mean(0).abs() - self.tau
        variance = gradients.var(0) if len(gradients) > 1 else gradients[0] * 0 + 1e-17
        # 0 / 0, an entry on which environments of equal gradients are just at tau, counts as 1e-17.
        mask = (self.k * agreement / variance).tanh().clamp(min=0.0).nan_to_num(1e-17)
        return mask * gradients.mean(0) / (1e-10 + mask.mean())
