"""Fishr: penalise differences of the gradients' variances between environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, head_sizes, in_full
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import STATE, Fresh, Move, Pace, Point
from irm_sweeps.methods.penalized import Penalized
from irm_sweeps.methods.risks import columns

AVERAGE = STATE + "gradient_variance"


class Fishr(Penalized):
    """Rame et al. (2022): the variance over images of the head's gradients should be the same in all environments.

    For a linear head an image's gradient is residual times feature, so its variance needs
    two matrix products and no gradient per image. Two forms: DomainBed's (`ema` .95, `reduce=mean`, no
    rescaling) and that of the authors' Colored MNIST script (`ema` 0, `reduce=sum`, rescaled by the weight);
    their penalty weights are not transferable.
    """

    reference: ClassVar[str] = "Rame et al. (2022), Eq. 4"
    default_lam: ClassVar[float | None] = 91257.18613115903
    """That of the authors' Colored MNIST script, which took IRMv1's; DomainBed's form has 1,000."""

    ema: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the moving average of each environment's variance over steps; 0 for none. As in DomainBed the
    averaged variance is divided by 1 - ema, so that the gradient's size does not depend on it."""
    reduce: Literal["mean", "sum"]
    """Over parameters and environments: mean of both (DomainBed), or sum (the authors' script)."""

    def check_backbone(self, model: Model) -> None:
        """Check that the head is one linear layer, whose gradients have a closed form."""
        if not model.head_is_linear:
            raise UserError("method=fishr needs a backbone whose head is one linear layer")

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the moving average, `[environments, entries of the head]`, if `ema` is not 0."""
        del generator
        if not self.ema:
            return {}
        outputs, width = head_sizes(fresh("backbone"))
        return {AVERAGE: torch.zeros(environments, outputs * (width + 1), dtype=torch.float32, device="cpu")}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the model's players and the moving average."""
        found = super().players([name for name in names if name != AVERAGE])
        return {**found, "average": [AVERAGE]} if self.ema else found

    def pace(self, player: str) -> Pace:
        """Return plain descent with rate 1 - ema for the average: one step is one update of the moving average."""
        return Pace("descent", 1 - self.ema) if player == "average" else Pace()

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return one move of all players."""
        (move,) = super().moves(step, environments)
        return [Move([*move.players, "average"])] if self.ema else [move]

    def other_objectives(self, at: Point, features: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Return the average's objective: half its squared distance to the current variance."""
        if not self.ema:
            return {}
        now = self._variance(at, features.detach(), logits.detach())
        return {"average": (at.batch.of_present(at.parameters[AVERAGE]) - now).square().sum() / 2}

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the distance of the variances to their mean."""
        del risks
        return self._distance(at, self._variance(at, features, logits))

    def _distance(self, at: Point, variance: Tensor) -> Tensor:
        if self.ema:
            averaged = self.ema * at.batch.of_present(at.parameters[AVERAGE].detach()) + (1 - self.ema) * variance
            variance = averaged / (1 - self.ema)
        squares = (variance - variance.mean(0)).square()
        return squares.sum() if self.reduce == "sum" else squares.mean()

    def _variance(self, at: Point, features: Tensor, logits: Tensor) -> Tensor:
        """Return the population variance of each entry of the head's gradient, `[environments, entries]`."""
        self.check_backbone(at.model)
        residual = columns(at.residuals(logits))
        features = in_full(features)
        h = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
        mean = at.batch.products(residual, h)
        second = at.batch.products(residual.square(), h.square())
        return (second - mean.square()).flatten(1)
