"""IRM Games: one classifier per environment, each selfish, averaged into one predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters
from irm_sweeps.methods.method import Check, Fresh, Method, Move, Pace, Point, Turn


class IRMGames(Method):
    """Ahuja et al. (2020): the ensemble w_av = (1/E) sum_e w_e over a representation phi; player e minimises
    R_e(w_av o phi) over its own w_e only. A Nash equilibrium of this game is an invariant predictor.

    `variant=v`: phi is the backbone's representation, each w_e a copy of its head, and phi minimises
    sum_e R_e(w_av o phi). `variant=f`: phi is the identity and each w_e a whole backbone.
    `order=alternating` is the paper's best-response dynamics, one player per step (for `v` the representation
    first, then the environments from the last to the first); `simultaneous` is lin2021's IRMGame(h): all
    classifiers step, then the representation.
    """

    reference: ClassVar[str] = "Ahuja et al. (2020), F-IRM and V-IRM Games"
    uses_lam: ClassVar[bool] = False

    variant: Literal["v", "f"]
    """V-IRM (learned representation) or F-IRM (fixed: the identity)."""
    order: Literal["alternating", "simultaneous"]
    """Whose turn it is."""
    representation_lr_scale: Annotated[float, Field(gt=0)]
    """The representation's learning rate over the trial's (0.1 in the released code)."""
    stop_below: Annotated[float, Field(ge=0, le=1)]
    """Termination: the first evaluation after `stop_warmup` whose pooled training accuracy is below this; 0 for
    never, as in a regression. The released notebooks use .6 (F-IRM) and .55 (V-IRM), read off the oscillation
    plot. Needs `training.evaluate_every`."""
    stop_warmup: Annotated[int, Field(ge=0)]
    """Steps before the termination rule applies."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the later environments' classifiers, `player.E.NAME`; the first has the backbone's own."""
        del generator
        mine = "head." if self.variant == "v" else ""
        return {
            f"player.{e}.{name}": value
            for e in range(1, environments)
            for name, value in fresh(f"player/{e}").items()
            if name.startswith(mine)
        }

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return `environment_0`, `environment_1`, ... and for V-IRM `representation`."""
        found: dict[str, list[str]] = {"representation": []} if self.variant == "v" else {}
        for name in names:
            if name.startswith("player."):
                owner = f"environment_{name.split('.')[1]}"
            elif self.variant == "v" and name.startswith("representation."):
                owner = "representation"
            else:
                owner = "environment_0"
            found.setdefault(owner, []).append(name)
        return found

    def pace(self, player: str) -> Pace:
        """Return the representation's own learning rate."""
        return Pace(lr=self.representation_lr_scale if player == "representation" else 1.0)

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return whose turn it is."""
        classifiers = [f"environment_{e}" for e in range(environments)]
        if self.order == "simultaneous":
            representation = [Move(["representation"])] if self.variant == "v" else []
            return [Move(classifiers), *representation]
        if self.variant == "f":
            return [Move([classifiers[step % environments]])]
        cycle = ["representation", *reversed(classifiers)]
        return [Move([cycle[step % len(cycle)]])]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return R_e for player e and the sum of the risks for the representation."""
        risks = at.risks(self.predict(at.model, at.parameters, at.batch.inputs))
        objectives = {
            player: risks.sum() + at.l2() if player == "representation" else risks[int(player.split("_")[1])] + at.l2()
            for player in moving
        }
        return Turn(objectives, {"risks": risks})

    def predict(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the mean of the players' logits."""
        if self.variant == "v":
            features = model.represent(parameters, inputs)
            votes = [model.classify(own, features) for own in self._classifiers(parameters)]
        else:
            votes = [model.classify(own, model.represent(own, inputs)) for own in self._classifiers(parameters)]
        return torch.stack(votes).mean(0)

    @staticmethod
    def _classifiers(parameters: Parameters) -> list[Parameters]:
        """Return each player's parameters under the backbone's names, by number."""
        owners: dict[int, dict[str, Tensor]] = {0: {}}
        for name, value in parameters.items():
            if name.startswith("player."):
                _, e, own = name.split(".", 2)
                owners.setdefault(int(e), {})[own] = value
            else:
                owners[0][name] = value
        return [owners[e] for e in sorted(owners)]

    def stop(self, checks: Sequence[Check]) -> int | None:
        """Choose the first evaluation at which the ensemble has unlearned the training environments."""
        for index, check in enumerate(checks):
            if not check.train_accuracies:
                return None
            accuracy = sum(check.train_accuracies) / len(check.train_accuracies)
            if check.step > self.stop_warmup and accuracy < self.stop_below:
                return index
        return None
