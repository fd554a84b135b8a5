"""AND-mask: step only where the environments' gradients agree in sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from irm_sweeps.methods.method import Method, Point, Turn


class ANDMask(Method):
    """Parascandolo et al. (2021): each entry of the mean gradient counts if |mean_e sign(grad_e)| >= tau, else it is 0.

    Each environment's gradient is that of its risk plus l2. DomainBed's form: what is left of a tensor's gradient is
    divided by the fraction of its entries that are left.
    """

    reference: ClassVar[str] = "Parascandolo et al. (2021), Section 3.1; DomainBed's form"
    uses_lam: ClassVar[bool] = False

    tau: Annotated[float, Field(ge=0, le=1)]
    """How far the signs have to agree: 1 for all of them, 0 for the mean gradient itself."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return one objective per environment."""
        risks = at.risks(at.logits(at.features()))
        return Turn(dict.fromkeys(moving, risks + at.l2()), {"risks": risks})

    def combine(
        self, at: Point, player: str, objectives: Tensor, gradients: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return the masked mean gradients."""
        del at, player, objectives
        return {name: self._masked(gradient) for name, gradient in gradients.items()}

    def memory(self, parameters: int, images: int, environments: int) -> int:
        """Return the size of the environments' gradients and their mask."""
        del images
        return (environments + 3) * parameters

    def _masked(self, gradients: Tensor) -> Tensor:
        kept = (gradients.sign().mean(0).abs() >= self.tau).to(gradients.dtype)
        return kept * gradients.mean(0) / (1e-10 + kept.mean())
