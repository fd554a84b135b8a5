"""Group DRO: minimise a weighted risk whose weights grow for environments with high risk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.methods.method import STATE, Fresh, Method, Move, Pace, Point, Turn

LOG_WEIGHTS = STATE + "log_weights"


class GroupDRO(Method):
    """Sagawa et al. (2020), in DomainBed's form: environments are groups, weighted by exponentiated gradient ascent.

    Each step multiplies the weight q_e by exp(eta R_e), normalises, then minimises sum_e q_e R_e. In logs this
    is plain gradient ascent on sum_e (log q)_e R_e with learning rate eta: the second player. The original adds
    group-size adjustments and strong weight decay, which this form leaves out.
    """

    reference: ClassVar[str] = "Sagawa et al. (2020), Algorithm 1; DomainBed's form"
    uses_lam: ClassVar[bool] = False

    eta: Annotated[float, Field(gt=0)]
    """Step size of the weights."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return equal weights."""
        del fresh, generator
        return {LOG_WEIGHTS: torch.zeros(environments, dtype=torch.float32, device="cpu")}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the model and the weights."""
        return {"model": [name for name in names if name != LOG_WEIGHTS], "weights": [LOG_WEIGHTS]}

    def pace(self, player: str) -> Pace:
        """Return plain ascent for the weights."""
        return Pace("descent", self.eta) if player == "weights" else Pace()

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return the weights' move, then the model's."""
        del step, environments
        return [Move(["weights"]), Move(["model"])]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return -sum (log q)_e R_e for the weights, sum_e q_e R_e for the model."""
        log_weights = at.parameters[LOG_WEIGHTS]
        if "weights" in moving:
            risks = at.risks(at.logits(at.frozen_features()))
            return Turn({"weights": -(at.batch.of_present(log_weights) * risks.detach()).sum()}, {})
        risks = at.risks(at.logits(at.features()))
        weights = log_weights.detach().softmax(0)
        objective = (at.batch.of_present(weights) * risks).sum() + at.l2()
        return Turn({"model": objective}, {"risks": risks, "weights": weights})
