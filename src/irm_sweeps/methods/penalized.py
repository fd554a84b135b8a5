"""The base class of methods that add one annealed penalty to ERM, e.g. IRMv1, V-REx, Fishr, BIRM and CLOvE."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.config import Count, Number
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method, Move, Point, Pooling, Turn
from irm_sweeps.methods.scalars import not_a_scalar
from irm_sweeps.methods.stages import Stage


class Penalized(Method):
    """One player minimises (risk + l2 + w * penalty) / scale, with w annealed from one value to `lam`.

    The published codes share this form and differ in the fields below.
    """

    delay: ClassVar[str] = "anneal"

    risk: Pooling
    """How the environments' risks are pooled: `mean` (Arjovsky et al., DomainBed), `sum` (REx), `images` (IRMBed)."""
    anneal: Count
    """Number of steps before the penalty weight becomes `lam`."""
    weight_before_anneal: Annotated[Number, Field(ge=0)]
    """The penalty weight until then: 1 in Arjovsky et al., REx, Choe et al. and DomainBed, 0 in IRMBed."""
    rescale: Literal["none", "weight", "one_plus_weight", "one_plus_weight_above_one"]
    """What the whole loss (l2 included) is divided by: `weight`: w where w > 1 (Arjovsky et al., REx, Choe
    et al.); `one_plus_weight`: 1 + w (IRMBed); `one_plus_weight_above_one`: 1 + w where w > 1 (BIRM);
    `none`: 1 (DomainBed)."""
    reset_optimizer: bool
    """Whether the optimizer state is reset when the weight becomes `lam` (DomainBed does)."""
    head: Literal["penalised", "risk"] = "penalised"
    """What the classifier head minimises: the same objective as the representation; or the plain pooled risk, with l2
    until the anneal and without afterwards, stepping at the same time (IRMBed's released code; there the head's
    step came before the representation's gradient was taken, through a graph that current torch refuses)."""

    @abstractmethod
    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the penalty, a scalar.

        Parameters
        ----------
        features
            h_u of the batch, `[environments * n, width]`.
        logits
            g_v of the features, `[environments * n]` or `[environments * n, classes]`.
        risks
            `[environments]`.
        """

    def stages(self) -> Sequence[Stage]:
        """Return the stage of the penalty with weight `lam`."""
        return [Stage("penalty", int(self.anneal), restarts=self.reset_optimizer, numbers_only=True)]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective of the model, or with `head=risk` of the representation and of the head."""
        features = at.features()
        logits = at.logits(features)
        risks = at.risks(logits)
        pooled = at.pool(risks, self.risk)
        penalty = self.penalty(at, features, logits, risks)
        if wrong := not_a_scalar(penalty):
            raise UserError(f"{type(self).__name__}.penalty returned {wrong}")
        annealed = at.begun("penalty")
        weight = torch.where(annealed, at.numbers["lam"], at.numbers["weight_before_anneal"])
        extra = self.further_term(at, features, logits)
        l2 = at.l2()
        objective = (pooled + l2 + weight * penalty + extra) / self._scale(weight)
        objectives = self.other_objectives(at, features, logits)
        if "head" in moving:
            objectives["head"] = pooled + torch.where(annealed, 0.0, l2)
        objectives |= {player: objective for player in moving if player not in objectives}
        return Turn(objectives, {"risks": risks, "penalty": penalty})

    def other_objectives(self, at: Point, features: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Return the objectives of players besides the model's; none by default."""
        del at, features, logits
        return {}

    def further_term(self, at: Point, features: Tensor, logits: Tensor) -> Tensor | float:
        """Return a further term of the loss; 0 by default."""
        del at, features, logits
        return 0.0

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return one player, or with `head=risk` the representation and the head."""
        if self.head == "penalised":
            return super().players(names)
        return {
            "representation": [name for name in names if not name.startswith("head.")],
            "head": [name for name in names if name.startswith("head.")],
        }

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return one move of all players."""
        del step, environments
        return [Move(["model"] if self.head == "penalised" else ["representation", "head"])]

    def _scale(self, weight: Tensor) -> Tensor | float:
        match self.rescale:
            case "weight":
                return weight.clamp(min=1.0)
            case "one_plus_weight":
                return 1.0 + weight
            case "one_plus_weight_above_one":
                return torch.where(weight > 1, 1.0 + weight, torch.ones_like(weight))
            case "none":
                return 1.0
