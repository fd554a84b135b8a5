"""ZIN and IRM-TV-l1: infer environments from side information of the images, then penalise as IRMv1 does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Fresh, Method, Move, Pace, Point, Turn
from irm_sweeps.methods.stages import Stage
from irm_sweeps.wording import count

ADVERSARY = "adversary."


class ZIN(Method):
    """Lin et al. (2022): the adversary rho(z) in [0, 1] divides the images in two environments that violate invariance.

    With g_i the gradient of image i's loss with respect to a multiplier of its logits, the penalty is
    (mean_i rho(z_i) g_i)^2 + (mean_i (1 - rho(z_i)) g_i)^2. In the first `anneal` steps rho maximises it, while the
    model minimises the mean risk over all images + l2; then rho is frozen, and the model minimises
    (risk + l2 + lam * penalty) / scale, with scale 1 + lam where lam > 1. The dataset's own environments are not used.
    As released; but each column of z is standardised on its own (released: all together).
    """

    reference: ClassVar[str] = "Lin et al. (2022), ZIN; the released InferIrmV1"
    default_lam: ClassVar[float | None] = 10_000.0
    """That of the released command for the temporal data."""
    delay: ClassVar[str] = "anneal"
    uses_side: ClassVar[bool] = True

    z_dim: Annotated[int, Field(ge=1)]
    """Number of columns of the side information."""
    hidden_dim: Annotated[int, Field(ge=1)]
    """Hidden units of rho."""
    anneal: Annotated[int, Field(ge=0)]
    """Steps of ERM, during which rho is trained."""
    adversary_lr_scale: Annotated[float, Field(gt=0)]
    """The learning rate of rho over the trial's (.001 over .005 in the release)."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return rho's two layers: Xavier uniform weights, biases of 0."""
        del fresh, environments
        parameters = {}
        for layer, (n_in, n_out) in {"0": (self.z_dim, self.hidden_dim), "2": (self.hidden_dim, 1)}.items():
            uniform = torch.rand(n_out, n_in, generator=generator, dtype=torch.float32, device="cpu")
            parameters[f"{ADVERSARY}{layer}.weight"] = (2 * uniform - 1) * math.sqrt(6 / (n_in + n_out))
            parameters[f"{ADVERSARY}{layer}.bias"] = torch.zeros(n_out, dtype=torch.float32, device="cpu")
        return parameters

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the model and the adversary."""
        split: dict[str, list[str]] = {"model": [], "adversary": []}
        for name in names:
            split["adversary" if name.startswith(ADVERSARY) else "model"].append(name)
        return split

    def pace(self, player: str) -> Pace:
        """Return the learning rate of the adversary, which has no schedule."""
        return Pace(lr=self.adversary_lr_scale, decays=False) if player == "adversary" else Pace()

    def stages(self) -> Sequence[Stage]:
        """Return inference, when both players move, and invariance, when the model does."""
        return [Stage("inference", moves=[Move(["adversary", "model"])]), Stage("invariance", self.anneal)]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return minus the penalty for the adversary, and the model's objective."""
        logits = at.logits(at.features())
        losses = at.loss.losses(logits, at.batch.labels)
        gradients = at.multiplier_gradients(logits)
        first = self.first_environment(at)
        log = {"risks": at.batch.means(losses)}
        risk = losses.mean() + at.l2()
        if at.phase == "inference":
            found = self._penalty(first, gradients.detach())
            return Turn({"adversary": -found, "model": risk}, {**log, "penalty": found})
        penalty, lam = self._penalty(first.detach(), gradients), at.numbers["lam"]
        objective = (risk + lam * penalty) / torch.where(lam > 1, 1 + lam, 1.0)
        return Turn(dict.fromkeys(moving, objective), {**log, "penalty": penalty})

    def check_side(self, columns: int) -> None:
        """Check that z has `z_dim` columns."""
        if columns != self.z_dim:
            has = f"the side information has {count(columns, 'column')}"
            raise UserError(f"method.z_dim={self.z_dim}: {has}; give method.z_dim={columns}")

    def first_environment(self, at: Point) -> Tensor:
        """Return rho(z) of each image, `[n]`; raise a UserError if z has another number of columns than `z_dim`."""
        z, p = at.batch.side, at.parameters
        assert z is not None
        self.check_side(z.shape[-1])
        weight = p[f"{ADVERSARY}0.weight"]
        centred = z.to(weight.dtype) - z.to(weight.dtype).mean(0)
        variance = centred.square().sum(0) / max(len(z) - 1, 1)
        hidden = F.linear(centred / torch.where(variance > 0, variance, 1.0).sqrt(), weight, p[f"{ADVERSARY}0.bias"])
        return F.linear(hidden.relu(), p[f"{ADVERSARY}2.weight"], p[f"{ADVERSARY}2.bias"]).squeeze(-1).sigmoid()

    def _penalty(self, first: Tensor, gradients: Tensor) -> Tensor:
        return self.pooled(torch.stack([(first * gradients).mean(), ((1 - first) * gradients).mean()]))

    def pooled(self, gradients: Tensor) -> Tensor:
        """Return the penalty of both environments' gradients, `[2]`."""
        return gradients.square().sum()


class IRMTV(ZIN):
    """Lai & Wang (2024), Minimax-TV-l1: ZIN with the squared total variation (|g_1| + |g_2|)^2 as the penalty.

    g_1 and g_2 are the gradients of both environments. The adversary moves only while they differ in sign, since
    g_1 + g_2 does not depend on it.
    """

    reference: ClassVar[str] = "Lai & Wang (2024), IRM-TV-l1; the released Minimax_TV_L1"

    def pooled(self, gradients: Tensor) -> Tensor:
        """Return the square of the sum of their absolute values."""
        return gradients.abs().sum().square()
