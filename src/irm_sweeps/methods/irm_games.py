"""IRM Games: one classifier per environment minimises its own environment's risk of their averaged predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER, Model, Parameters
from irm_sweeps.config import Number
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import STATE, Check, Fresh, Method, Move, Pace, Point, Pooling, Turn
from irm_sweeps.methods.stages import Boundary, Stage

_NO_BATCH_STATISTICS = "method.variant=f needs a backbone without batch statistics: take method.variant=v"


class IRMGames(Method):
    """Ahuja et al. (2020): the ensemble w_av = (1/E) sum_e w_e over a representation phi; player e minimises
    R_e(w_av o phi) over its own w_e only. A Nash equilibrium of this game is an invariant predictor.

    `variant=v`: phi is the backbone's representation, each w_e a copy of its head, and phi minimises
    sum_e R_e(w_av o phi). `variant=f`: phi is the identity and each w_e a whole backbone.
    `order=alternating` is the paper's best-response dynamics, one player per step (for `v` the representation
    first, then the environments from the last to the first). In lin2021's IRMGame(h) all play within a step, first the
    classifiers, then the representation: in its released code one classifier after another (`sequential`), each
    against those that have just moved; `simultaneous` lets all classifiers step from the same point.

    The released code normalises a classifier's pass over its own environment's images; here batch statistics are
    those of the whole minibatch.
    """

    reference: ClassVar[str] = "Ahuja et al. (2020), F-IRM and V-IRM Games"
    uses_lam: ClassVar[bool] = False
    delay: ClassVar[str] = "warm_up"

    variant: Literal["v", "f"]
    """V-IRM (learned representation) or F-IRM (fixed: the identity)."""
    order: Literal["alternating", "simultaneous", "sequential"]
    """Which players step when; see above."""
    inner_batch: Literal["same", "fresh"] = "same"
    """Unless `order=alternating`: whether the classifiers step on the representation's images or on others (as
    lin2021's released code)."""
    risk: Pooling = "sum"
    """How the environments' risks are pooled for the representation: `sum` in the paper, `images`, the mean over the
    minibatch, in lin2021's released code."""
    warm_up: Annotated[int, Field(ge=0)] = 0
    """Unless `order=alternating`: steps before the game begins, in which the representation and the first
    environment's classifier learn alone, on the pooled risk of the ensemble (lin2021's released code)."""
    forget_warm_up: bool = False
    """Whether every classifier becomes, when the game begins, a copy of one head that was never trained (lin2021's
    released code, which copies a shared head that this game has no use for)."""
    classifier_l2: bool = True
    """Whether a classifier's objective has `training.l2`; in lin2021's released code only the representation's has."""
    representation_lr_scale: Annotated[float, Field(gt=0)]
    """The representation's learning rate over the trial's: 0.1 in Ahuja et al.'s released code."""
    representation_weight: Annotated[Number, Field(gt=0)] = 1.0
    """Factor of the representation's objective in the game, not in its warm-up: 1 / (1 + lam) in lin2021's released
    code, where its lam has no other effect and must be above 0."""
    stop_below: Annotated[float, Field(ge=0, le=1)]
    """Termination: the first evaluation after `stop_warmup` whose mean accuracy over the training environments is below
    this; 0 for never, as in a regression. The released notebooks, which pool equally large environments, use .6 (F-IRM)
    and .55 (V-IRM), read off the oscillation plot. Needs `training.evaluate_every`."""
    stop_warmup: Annotated[int, Field(ge=0)]
    """Steps before the termination rule applies."""

    @model_validator(mode="after")
    def _warmed_up(self) -> Self:
        for name, value, usual in (("warm_up", self.warm_up, "0"), ("forget_warm_up", self.forget_warm_up, "false")):
            if value and (self.order == "alternating" or self.variant != "v"):
                raise ValueError(
                    f"method.{name}={value} is lin2021's game, with method.order=sequential or simultaneous and "
                    f"method.variant=v; take method.{name}={usual}"
                )
        return self

    def check_backbone(self, model: Model) -> None:
        """Check for F-IRM that there are no batch statistics, of which each player would have its own."""
        if self.variant == "f" and model.buffers():
            raise UserError(_NO_BATCH_STATISTICS)

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the classifiers of all environments but the first, `player.E.NAME`; the first uses the backbone's.

        With `forget_warm_up` also a head that is never trained, `state.NAME`.
        """
        del generator
        mine = "head." if self.variant == "v" else ""
        sources = {f"player.{e}.": f"player/{e}" for e in range(1, environments)}
        if self.forget_warm_up:
            sources[STATE] = "player/untrained"
        return {
            prefix + name: value
            for prefix, purpose in sources.items()
            for name, value in fresh(purpose).items()
            if name.startswith(mine)
        }

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return `environment_0`, `environment_1`, ... and for V-IRM `representation`."""
        found: dict[str, list[str]] = {"representation": []} if self.variant == "v" else {}
        for name in names:
            if name.startswith(STATE):
                continue
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
        """Return the moves of a step of the game, by `order` and `variant`."""
        classifiers = [f"environment_{e}" for e in range(environments)]
        if self.order != "alternating":
            together = [classifiers] if self.order == "simultaneous" else [[classifier] for classifier in classifiers]
            batch = 1 if self.inner_batch == "fresh" and self.variant == "v" else 0
            last = [Move(["representation"])] if self.variant == "v" else []
            return [*(Move(movers, batch) for movers in together), *last]
        if self.variant == "f":
            return [Move([classifiers[step % environments]])]
        cycle = ["representation", *reversed(classifiers)]
        return [Move([cycle[step % len(cycle)]])]

    def stages(self) -> Sequence[Stage]:
        """Return the warm-up, then the game."""
        warm_up = [Stage("warm-up", moves=[Move(["representation", "environment_0"])])] if self.warm_up else []
        return [*warm_up, Stage("game", self.warm_up)]

    def enter(self, stage: str, at: Boundary) -> Mapping[str, Tensor]:
        """Return, where the game begins with `forget_warm_up`, copies of the untrained head for all classifiers."""
        copies: dict[str, Tensor] = {}
        if stage != "game" or not self.forget_warm_up:
            return copies
        names = list(at.parameters)
        for untrained in [name for name in names if name.startswith(STATE)]:
            own = untrained.removeprefix(STATE)
            owners = [n for n in names if n == own or (n.startswith("player.") and n.split(".", 2)[2] == own)]
            copies |= dict.fromkeys(owners, at.parameters[untrained])
        return copies

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return R_e for player e and the pooled risk for the representation."""
        if self.variant == "f":
            logits = self.predict(at.model, at.parameters, at.batch.inputs)
        else:
            features = at.features() if "representation" in moving else at.frozen_features()
            logits = self._mean_vote(at.model, at.parameters, features)
        risks = at.risks(logits)
        if at.phase == "warm-up":
            return Turn(dict.fromkeys(moving, at.pool(risks, self.risk) + at.l2()), {"risks": risks})
        objectives = {player: self._objective(at, risks, player) for player in moving}
        return Turn(objectives, {"risks": risks})

    def _objective(self, at: Point, risks: Tensor, player: str) -> Tensor:
        if player == "representation":
            return at.numbers["representation_weight"] * (at.pool(risks, self.risk) + at.l2())
        own = self._risk(at, risks, player)
        return own + at.l2() if self.classifier_l2 else own

    @staticmethod
    def _risk(at: Point, risks: Tensor, player: str) -> Tensor:
        """Return the risk of a classifier's environment; 0 if the environment is absent from the batch."""
        e = int(player.split("_")[1])
        return risks[at.batch.present.index(e)] if e in at.batch.present else risks.sum() * 0

    def predict(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the mean of the players' logits."""
        if self.variant == "v":
            return self._mean_vote(model, parameters, model.represent(parameters, inputs))
        if any(name.startswith(BUFFER) for name in parameters):
            raise UserError(_NO_BATCH_STATISTICS)
        votes = [model.classify(own, model.represent(own, inputs)) for own in self._classifiers(parameters)]
        return torch.stack(votes).mean(0)

    def _mean_vote(self, model: Model, parameters: Parameters, features: Tensor) -> Tensor:
        return torch.stack([model.classify(own, features) for own in self._classifiers(parameters)]).mean(0)

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

    @property
    def can_stop(self) -> bool:
        """Whether `stop_below` is above 0."""
        return self.stop_below > 0

    def stop(self, checks: Sequence[Check]) -> int | None:
        """Choose the first evaluation after `stop_warmup` with a mean training accuracy below `stop_below`."""
        for index, check in enumerate(checks):
            if not check.train_accuracies:
                return None
            accuracy = sum(check.train_accuracies) / len(check.train_accuracies)
            if check.step > self.stop_warmup and accuracy < self.stop_below:
                return index
        return None
