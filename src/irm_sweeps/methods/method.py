"""The contract of a method: a game on a batch of environments.

A method names its players (groups of parameters) and, as a pure function of where the game stands, the
scalar each player minimises. The training loop differentiates each player's scalar with respect to that
player's parameters only, and knows no method by name. Because the functions are pure, `torch.func.vmap`
turns one trial's game into a stack of trials.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER, Model, Parameters
from irm_sweeps.config import Component
from irm_sweeps.methods.batch import Batch
from irm_sweeps.methods.risks import Loss

STATE = "state."
"""Prefix of the tensors that are a method's state (weights of groups, moving averages), not a predictor's."""

Fresh = Callable[[str], dict[str, Tensor]]
"""From a purpose to a newly initialised set of the backbone's parameters, drawn from the trial's seed."""

Pooling = Literal["mean", "sum", "images"]
"""How the risks of environments become one number: their mean, their sum, or the mean over all images, which
differs from the mean where a batch has more images of one environment than of another."""


@dataclass(frozen=True)
class Move:
    """Players that step at the same time, from the same point.

    Attributes
    ----------
    batch
        Which of the step's batches they see; moves with the same number see the same images.
    """

    players: Sequence[str]
    batch: int = 0


@dataclass(frozen=True)
class Pace:
    """How a player turns its gradient into a step.

    Attributes
    ----------
    optimizer
        `trial`: the trial's own optimizer. `descent`: plain gradient descent, for players whose update is a
        closed rule (an exponentiated gradient, a moving average).
    lr
        Learning rate of `descent`; for `trial` a multiple of the trial's.
    decays
        Whether the optimizer's schedule applies.
    """

    optimizer: Literal["trial", "descent"] = "trial"
    lr: float = 1.0
    decays: bool = True


@dataclass(frozen=True)
class Point:
    """Where one trial's game stands.

    Attributes
    ----------
    parameters
        Every player's tensors, by name.
    numbers
        0-d tensors: `lam`, `l2`, and the method's own `PerTrial` fields.
    step
        Updates done so far, a 0-d tensor of int64 on the device: compare it in `torch.where`. Python's `if` would
        wait for the device, and decide for all later steps of a compiled move; it may ask for the `phase`. To compute
        with it in the trial's precision: `at.step.to(at.numbers["lam"].dtype)`.
    loss
        The dataset's.
    noise
        This step's uniform numbers in [0, 1), as `Method.noise` asked for them.
    phase
        What `Method.phase` says of the step.
    passes
        Encoder passes over this batch so far, if a later move of the step can use them; else None.
    """

    model: Model
    parameters: Parameters
    batch: Batch
    numbers: Mapping[str, Tensor]
    step: Tensor
    loss: Loss
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    phase: str = ""
    passes: dict[str, Tensor] | None = None

    def features(self) -> Tensor:
        """Return h_u of the batch, `[n, width]`."""
        if self.passes is None:
            return self.model.represent(self.parameters, self.batch.inputs)
        if "features" not in self.passes:
            self.passes["features"] = self.model.represent(self.parameters, self.batch.inputs)
        return self.passes["features"]

    def frozen_features(self) -> Tensor:
        """Return h_u of the batch for a player who cannot move it, from the same pass as `features` if possible."""
        if self.passes is not None:
            return self.features().detach()
        with torch.no_grad():
            return self.model.represent(self.parameters, self.batch.inputs, averages=self.model.inner_averages)

    def logits(self, features: Tensor) -> Tensor:
        """Return g_v of the features."""
        return self.model.classify(self.parameters, features)

    def risks(self, logits: Tensor) -> Tensor:
        """Return R^e, the mean loss of each environment of the batch, `[present]`."""
        return self.batch.means(self.loss.losses(logits, self.batch.labels))

    def residuals(self, logits: Tensor) -> Tensor:
        """Return d loss / d logits of each image, shaped as the logits."""
        return self.loss.residuals(logits, self.batch.labels)

    def pool(self, risks: Tensor, how: Pooling) -> Tensor:
        """Return one risk for those of the batch's environments."""
        if how == "sum":
            return risks.sum()
        if how == "mean" or self.batch.even:
            return risks.mean()
        assert self.batch.counts is not None
        counts = [count for count in self.batch.counts if count]
        weighted = [risk * (count / sum(counts)) for risk, count in zip(risks.unbind(), counts, strict=True)]
        return torch.stack(weighted).sum()

    def l2(self) -> Tensor | float:
        """Return `training.l2` times the sum of squares of all parameters; 0 where no trial wants it.

        What a method keeps as its state (names under `state.`) is no parameter of a predictor and is left out,
        and so are running averages (`buffer.`).
        """
        if "l2" not in self.numbers:
            return 0.0
        squares = [p.square().sum() for name, p in self.parameters.items() if not name.startswith((STATE, BUFFER))]
        return self.numbers["l2"] * sum(squares[1:], squares[0])


@dataclass(frozen=True)
class Turn:
    """What a game says at a point.

    Attributes
    ----------
    objectives
        The scalar each moving player minimises.
    log
        Quantities for the history, e.g. `risks` `[environments]` and `penalty`.
    """

    objectives: dict[str, Tensor]
    log: dict[str, Tensor]


@dataclass(frozen=True)
class Check:
    """What a stopping rule may see of one evaluation: training environments, in their order.

    Attributes
    ----------
    step
        Updates done.
    train_risks, train_accuracies, val_risks
        Per training environment; `val_risks` is empty without held-out images, `train_accuracies` in a regression.
    held_back
        Held-out images over all images of each training environment, in [0, 1).
    """

    step: int
    train_risks: Sequence[float]
    train_accuracies: Sequence[float]
    val_risks: Sequence[float]
    held_back: Sequence[float]


class Method(Component):
    """A game. Subclass it in one file, and name the subclass in one YAML's `_target_`."""

    uses_lam: ClassVar[bool] = True
    """False where the penalty weight changes nothing; `lam` then does not tell trials apart."""
    stacks: ClassVar[bool] = True
    """False where the objective cannot be vectorised over trials."""
    compiles: ClassVar[bool] = True
    """False where torch cannot trace `turn`."""
    reference: ClassVar[str] = ""
    """Paper and equation."""
    adapts: ClassVar[bool] = False
    """Whether `adapted` has something to return: the method takes an inner step."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the initial tensors that the method adds to the backbone's; none by default.

        Parameters
        ----------
        fresh
            `fresh("backbone")` is the backbone as it starts; any other purpose is an independent draw.
        generator
            For initialisation by other laws than the backbone's.
        """
        del fresh, environments, generator
        return {}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return which parameters each player moves; one player, `model`, moves all by default."""
        return {"model": list(names)}

    def pace(self, player: str) -> Pace:
        """Return how a player steps; by the trial's optimizer by default."""
        del player
        return Pace()

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return the moves of one step, in order; one move of `model` by default.

        They are the same for all trials of a stack, so they depend on no `PerTrial` field (`Number`, `Count`).
        """
        del step, environments
        return [Move(["model"])]

    def phase(self, step: int) -> str:
        """Return a name for what `turn` does at this step where it asks `Point.phase`; always the same by default.

        It is the same for all trials of a stack: to tell steps apart by a `PerTrial` field (`Number`, `Count`), compare
        `Point.step` with `Point.numbers` in `torch.where`.
        """
        del step
        return ""

    def noise(self, parameters: Mapping[str, Tensor], environments: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the uniform numbers that each step needs, by name; none by default."""
        del parameters, environments
        return {}

    def resets_at(self) -> Collection[int]:
        """Return the steps before which `reset` is asked; none by default.

        They are the same for all trials of a stack, so they depend on no `PerTrial` field (`Number`, `Count`).
        """
        return ()

    def reset(self, step: int, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors that take new values before a step of `resets_at`; all are `[trials, ...]`."""
        del step, parameters
        return {}

    def predict(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits of the trained predictor; the backbone's own by default."""
        return model.classify(parameters, model.represent(parameters, inputs))

    def representation(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return what the method means to be invariant, `[n, width]` or `[n]`; the head's input by default."""
        return model.represent(parameters, inputs)

    def adapted(self, at: Point) -> Sequence[Parameters]:
        """Return the parameters after the inner step towards each environment; of a method without one, nothing."""
        del at
        return ()

    def stop(self, checks: Sequence[Check]) -> int | None:
        """Return which of the evaluations so far the method's own stopping rule chooses; None: none yet.

        A rule looks at training environments only: their risks and accuracies on training and held-out images.
        """
        del checks
        return None

    @property
    def can_stop(self) -> bool:
        """Whether `stop` can ever choose: by default, whether the method has a rule of its own."""
        return type(self).stop is not Method.stop

    def restarts_optimizer_at(self) -> Collection[int]:
        """Return the steps before which optimizer state is forgotten (DomainBed's habit); none by default."""
        return ()

    @abstractmethod
    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective of each moving player at this point."""
