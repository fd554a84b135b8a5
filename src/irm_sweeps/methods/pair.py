"""PAIR: weigh risk and penalties at each step, so that they approach a preferred point of their Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from irm_sweeps.config import Count
from irm_sweeps.methods.method import Method, Pace, Point, Turn
from irm_sweeps.methods.risks import sample_variance
from irm_sweeps.methods.simplex import best_on_simplex
from irm_sweeps.methods.stages import Stage

Preference = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3, max_length=3)]


class PAIR(Method):
    """Chen et al. (2023), PAIR-o: ERM, then a step on a weighted sum of risk, IRMv1's penalty and V-REx's.

    The weights solve the linear program of EPO search (Mahapatra & Rajan 2020) in the Gram matrix of the three
    gradients: far from losses in inverse proportion to the preference it balances them, near them it lowers all. The
    release solves it with a licensed solver; with three weights its vertices are few. Where no weights meet the
    constraints, those of the preference are taken, as there. As there, and unlike EPO's own code, the balancing
    program has the same bounds where no loss can be balanced by a descent. The paper has one optimizer; the release
    (ColoredMNIST/pair_alg.py, pair_train) trains ERM with Adam at .001 and then takes SGD with momentum .9:
    `protocol=released` with `optimizer=sgd`.
    """

    reference: ClassVar[str] = "Chen et al. (2023), Pareto Invariant Risk Minimization, Algorithm 1 (PAIR-o)"
    uses_lam: ClassVar[bool] = False

    anneal: Count
    """Number of steps of ERM, with l2, before the losses are weighed (without l2, as in the release)."""
    preference: Preference
    """Relative importance of risk, IRMv1's penalty and V-REx's (1e-12, .01 and .99 in the release)."""
    balance_above: Annotated[float, Field(gt=0)]
    """The divergence of the weighted losses from equality above which they are balanced (.1 in the release)."""
    reset_optimizer: bool
    """Whether the optimizer state is reset when the losses begin to be weighed (the release takes a new optimizer)."""
    gradients_of: Literal["head", "all"]
    """The parameters whose gradients the weights are computed from: the classifier head (the release), or all."""
    erm_lr: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of Adam, which trains until the losses are weighed (.001 in the release); None: the trial's
    optimizer trains from the beginning."""

    @model_validator(mode="after")
    def _a_new_optimizer_has_no_state(self) -> PAIR:
        if self.erm_lr is not None and not self.reset_optimizer:
            raise ValueError(
                f"erm_lr={self.erm_lr:g} and reset_optimizer=false: the optimizer after ERM is another one: take "
                "reset_optimizer=true, or erm_lr=null"
            )
        return self

    def pace(self, player: str) -> Pace:
        """Return the trial's pace, or Adam's until the losses are weighed."""
        del player
        return Pace() if self.erm_lr is None else Pace("adam", self.erm_lr)

    def stages(self) -> Sequence[Stage]:
        """Return the stage in which the losses are weighed."""
        paces = None if self.erm_lr is None else {"model": Pace()}
        return [Stage("pareto", int(self.anneal), restarts=self.reset_optimizer, numbers_only=True, paces=paces)]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return risk (plus l2 during ERM), IRMv1's penalty and the sample variance of the risks."""
        logits = at.logits(at.features())
        risks = at.risks(logits)
        irm = at.irm_penalty(logits)
        variance = sample_variance(risks)
        risk = risks.mean() + torch.where(at.begun("pareto"), 0.0, at.l2())
        objectives = torch.stack([risk, irm, variance])
        return Turn(dict.fromkeys(moving, objectives), {"risks": risks, "irm": irm, "variance": variance})

    def combine(
        self, at: Point, player: str, objectives: Tensor, gradients: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return the weighted sums of the three gradients."""
        del player
        own = [g.flatten(1).double() for name, g in gradients.items() if self._counts(name)]
        stacked = torch.cat(own, 1)
        weights = self.weights(objectives.double(), stacked @ stacked.T)
        is_first = torch.arange(3, device=weights.device) == 0
        weights = torch.where(at.begun("pareto"), weights, is_first.to(weights.dtype))
        return {name: torch.tensordot(weights.to(g.dtype), g, 1) for name, g in gradients.items()}

    def memory(self, parameters: int, images: int, environments: int) -> int:
        """Return the size of the three gradients, and of those in float64 from which the weights are computed."""
        del images, environments
        return 9 * parameters

    def _counts(self, name: str) -> bool:
        return self.gradients_of == "all" or name.startswith("head.")

    def weights(self, losses: Tensor, gram: Tensor) -> Tensor:
        """Return the weights of the three losses, `[3]`.

        Parameters
        ----------
        gram
            Inner products of the losses' gradients, `[3, 3]`.
        """
        preference = torch.stack([torch.full_like(losses[0], share) for share in self.preference])
        preference = preference / preference.sum()
        weighted = preference * losses
        shares = weighted / weighted.sum()
        logs = (3 * shares).clamp(min=torch.finfo(losses.dtype).tiny).log()
        divergence = (shares * logs).sum()
        along = gram @ (preference * (logs - divergence))
        largest = weighted == weighted.max()
        balancing = torch.where(largest, 0.0, torch.where(along > 0, -torch.inf, along))
        balanced = best_on_simplex(along, gram, balancing)
        floor = along.max().clamp(max=0.0)
        lowering = best_on_simplex(
            gram.sum(1), torch.cat([along.unsqueeze(0), gram]), torch.cat([floor.unsqueeze(0), torch.zeros_like(along)])
        )
        found = torch.where(divergence > self.balance_above, balanced, lowering)
        return torch.where(found.isfinite().all(), found, preference)
