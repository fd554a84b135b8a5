"""The contract of a method: a game on a batch of environments.

A method names its players (groups of parameters) and computes, as a pure function of the state of the game (`Point`),
the scalar that each player minimises. The training loop differentiates each player's scalar with respect to that
player's parameters only, and depends on no particular method. Because the functions are pure, `torch.func.vmap` turns
one trial's game into that of a stack of trials.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER, Model, Parameters
from irm_sweeps.config import Component
from irm_sweeps.errors import UserError
from irm_sweeps.methods.batch import Batch
from irm_sweeps.methods.encoder_pass import EncoderPass
from irm_sweeps.methods.risks import Loss, columns
from irm_sweeps.methods.stages import Boundary, Stage

STATE = "state."
"""Prefix of the tensors that are a method's state (group weights, moving averages), not parameters of a predictor."""

Fresh = Callable[[str], dict[str, Tensor]]
"""A function from a purpose to newly initialised parameters of the backbone, drawn from the trial's seed."""

Pooling = Literal["mean", "sum", "images"]
"""How the environments' risks are pooled to one number: their mean, their sum, or the mean over all images, which
differs from their mean if the environments have different numbers of images in the batch."""

PaceOptimizer = Literal["trial", "descent", "adam"]
"""How a player steps: see `Pace`."""


@dataclass(frozen=True)
class Move:
    """A simultaneous step of some players, all from the same parameters.

    Attributes
    ----------
    batch
        Number of the batch that the move uses; moves of a step with the same number use the same images.
    """

    players: Sequence[str]
    batch: int = 0


@dataclass(frozen=True)
class Pace:
    """The optimizer and the learning rate of a player.

    Attributes
    ----------
    optimizer
        `trial`: the trial's optimizer. `descent`: plain gradient descent, for players whose update is a fixed rule (an
        exponentiated gradient, a moving average). `adam`: Adam with torch's defaults, whatever the trial has.
    lr
        Learning rate of `descent` or `adam`; for `trial`, a factor of the trial's learning rate.
    decays
        Whether the schedule of the trial's learning rate applies to `trial`; to the others it never does.
    """

    optimizer: PaceOptimizer = "trial"
    lr: float = 1.0
    decays: bool = True

    def __post_init__(self) -> None:
        """Raise a UserError for an optimizer that there is not."""
        if self.optimizer not in (known := get_args(PaceOptimizer)):
            raise UserError(f"Pace({self.optimizer!r}, ...): no such optimizer: choose {', '.join(known)}")


@dataclass(frozen=True)
class Point:
    """The state of one trial's game: all inputs of `Method.turn`.

    Attributes
    ----------
    parameters
        Every player's tensors, by name.
    numbers
        0-d tensors: `lam`, `l2`, and the method's own `PerTrial` fields.
    step
        Number of updates done so far, a 0-d int64 tensor on the device. Compare it in `torch.where`, not in Python's
        `if`, which would wait for the device, and in a compiled move would fix the answer for all later steps; in an
        `if`, use `phase`. To compute with it in the trial's precision: `at.step.to(at.numbers["lam"].dtype)`.
    loss
        The dataset's loss.
    noise
        This step's uniform draws in [0, 1), with the names and shapes that `Method.noise` returns.
    phase
        Name of the stage that this step belongs to; empty without stages. A stage of numbers only is none.
    passes
        The encoder's pass over this batch that later moves share; None: none do. A point with other parameters or
        other inputs does not use it.
    begins
        The first step of each stage by name, 0-d int64 tensors.
    """

    model: Model
    parameters: Parameters
    batch: Batch
    numbers: Mapping[str, Tensor]
    step: Tensor
    loss: Loss
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    phase: str = ""
    passes: EncoderPass | None = None
    begins: Mapping[str, Tensor] = field(default_factory=dict)

    def begun(self, stage: str) -> Tensor:
        """Return whether a stage has begun, a 0-d bool tensor, for `torch.where`."""
        return self.step >= self.begins[stage]

    def features(self) -> Tensor:
        """Return h_u of the batch, `[n, width]`.

        In steps that freeze the encoder it may have no graph: to differentiate through the encoder there, take
        `at.model.represent(at.parameters, at.batch.inputs)`.
        """
        if self._shares:
            assert self.passes is not None
            return self.passes.features(self.model)
        return self.model.represent(self.parameters, self.batch.inputs)

    def frozen_features(self) -> Tensor:
        """Return h_u of the batch, detached, for a player that does not train u; reuses a shared pass if possible."""
        if self._shares:
            return self.features().detach()
        with torch.no_grad():
            return self.model.represent(self.parameters, self.batch.inputs, averages=self.model.inner_averages)

    @property
    def _shares(self) -> bool:
        return self.passes is not None and self.passes.serves(self.parameters, self.batch.inputs)

    def logits(self, features: Tensor) -> Tensor:
        """Return g_v of the features."""
        return self.model.classify(self.parameters, features)

    def risks(self, logits: Tensor) -> Tensor:
        """Return R^e, the mean loss of each environment of the batch, `[present]`."""
        return self.batch.means(self.loss.losses(logits, self.batch.labels))

    def residuals(self, logits: Tensor) -> Tensor:
        """Return d loss / d logits of each image, shaped as the logits."""
        return self.loss.residuals(logits, self.batch.labels)

    def multiplier_gradients(self, logits: Tensor) -> Tensor:
        """Return d loss / d w of each image at w = 1, where w multiplies all its logits, `[n]`."""
        return columns(self.residuals(logits) * logits).sum(-1)

    def irm_penalty(self, logits: Tensor) -> Tensor:
        """Return IRMv1's penalty on the output: the mean over environments of (d R^e / d w)^2 at w = 1."""
        return self.batch.means(self.multiplier_gradients(logits)).square().mean()

    def pool(self, risks: Tensor, how: Pooling) -> Tensor:
        """Return the pooled risk of the batch's environments."""
        if how == "sum":
            return risks.sum()
        if how == "mean" or self.batch.even:
            return risks.mean()
        assert self.batch.counts is not None
        counts = [count for count in self.batch.counts if count]
        weighted = [risk * (count / sum(counts)) for risk, count in zip(risks.unbind(), counts, strict=True)]
        return torch.stack(weighted).sum()

    def l2(self) -> Tensor | float:
        """Return `training.l2` times the sum of squares of all parameters; 0 if no trial uses it.

        The method's state (`state.*`) and running averages (`buffer.*`) are not included.
        """
        if "l2" not in self.numbers:
            return 0.0
        squares = [p.square().sum() for name, p in self.parameters.items() if not name.startswith((STATE, BUFFER))]
        return self.numbers["l2"] * sum(squares[1:], squares[0])


@dataclass(frozen=True)
class Turn:
    """The result of a game at a point.

    Attributes
    ----------
    objectives
        The scalar each moving player minimises; or several, `[k]`, whose gradients `Method.combine` combines.
    log
        Values for the history, e.g. `risks` `[environments]` and `penalty`.
    """

    objectives: dict[str, Tensor]
    log: dict[str, Tensor]


@dataclass(frozen=True)
class Check:
    """The part of one evaluation that a stopping rule may use: the training environments, in their order.

    Attributes
    ----------
    step
        Number of updates done.
    train_risks, train_accuracies, val_risks
        Per training environment; `val_risks` is empty without held-out images, `train_accuracies` in a regression.
    held_back
        Fraction of each training environment's images that is held out, in [0, 1).
    """

    step: int
    train_risks: Sequence[float]
    train_accuracies: Sequence[float]
    val_risks: Sequence[float]
    held_back: Sequence[float]


class Method(Component):
    """Base class of methods, which are games. Subclass it, and name the subclass in a YAML's `_target_`."""

    uses_lam: ClassVar[bool] = True
    """Whether `lam` has an effect; if not, it is not part of a trial's identity."""
    default_lam: ClassVar[float | None] = 10_000.0
    """Penalty weight of a trial with `lam: null`; None: `lam` has to be given. 10,000 is the default of Arjovsky et
    al.'s and of REx's Colored MNIST scripts, and what a method has that declares no other."""
    delay: ClassVar[str] = ""
    """Name of the field that counts the steps before the penalty (or the game) acts; empty: it acts at once."""
    stacks: ClassVar[bool] = True
    """Whether `turn` can be vectorised over trials by `torch.func.vmap`."""
    compiles: ClassVar[bool] = True
    """Whether torch can trace `turn` (`compile=true`)."""
    needs_classes: ClassVar[bool] = False
    """Whether the method trains classifiers only; a sweep with a regression is refused."""
    reference: ClassVar[str] = ""
    """Paper and equation."""
    uses_side: ClassVar[bool] = False
    """Whether the method needs the side information of images, `Batch.side`."""
    adapts: ClassVar[bool] = False
    """Whether the method takes an inner step, whose parameters `adapted` returns."""

    def check_backbone(self, model: Model) -> None:
        """Check, before a sweep starts, that the method can train this network; checks nothing by default.

        Raises
        ------
        UserError
            It cannot.
        """
        del model

    def check_side(self, columns: int) -> None:
        """Check, before a sweep starts, that side information of so many columns suits; checks nothing by default.

        Raises
        ------
        UserError
            It does not.
        """
        del columns

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the initial tensors that the method adds to the backbone's; none by default.

        Parameters
        ----------
        fresh
            `fresh("backbone")` returns the backbone's initial parameters; any other purpose gives an independent draw.
        generator
            Source of random numbers for other initialisations.
        """
        del fresh, environments, generator
        return {}

    def image_parameters(self, images: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the initial tensors with a row for each training image, `state.NAME` `[images, ...]`; none by default.

        A row is an image's, by `Batch.index`. They are a player's, or get their values from `enter`.
        """
        del images, generator
        return {}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the names of each player's parameters; by default one player, `model`, trains all."""
        return {"model": list(names)}

    def pace(self, player: str) -> Pace:
        """Return the pace of a player; by default, the trial's optimizer and learning rate."""
        del player
        return Pace()

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return the moves of one step, in order; one move of `model` by default.

        They are the same for all trials of a stack, so they depend on no `PerTrial` field (`Number`, `Count`).
        """
        del step, environments
        return [Move(["model"])]

    def stages(self) -> Sequence[Stage]:
        """Return the stages of training, in the order in which those of one first step begin; none by default.

        They are the same for all trials of a stack, so they depend on no `PerTrial` field (`Number`, `Count`); but a
        stage with `numbers_only` may begin at such a field.
        """
        return ()

    def enter(self, stage: str, at: Boundary) -> Mapping[str, Tensor]:
        """Return new values of some tensors of one trial when a stage begins; none by default.

        A pure function: a head copied, parameters drawn anew (`at.fresh`), images regrouped by what was learnt.
        """
        del stage, at
        return {}

    def combine(
        self, at: Point, player: str, objectives: Tensor, gradients: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return the gradients with which a player steps whose objective is a vector of several.

        Parameters
        ----------
        objectives
            `[k]`, as `turn` returned them, detached: the risks of the batch's environments, for example.
        gradients
            The gradient of each objective for each of the player's tensors that one of them depends on,
            `[k, *shape]` by name.
        """
        raise NotImplementedError

    def memory(self, parameters: int, images: int, environments: int) -> int:
        """Return an upper estimate of the numbers that a step holds besides those of ERM's; 0 by default.

        Parameters
        ----------
        parameters
            Number of entries of all tensors that are trained.
        images
            Number of images of a step, of all environments.
        """
        del parameters, images, environments
        return 0

    def noise(self, parameters: Mapping[str, Tensor], environments: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the uniform draws that each step needs, by name; none by default."""
        del parameters, environments
        return {}

    def predict(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits of the trained predictor; the backbone's own by default."""
        return model.classify(parameters, model.represent(parameters, inputs))

    def representation(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the representation that should be invariant, `[n, width]` or `[n]`; by default the head's input."""
        return model.represent(parameters, inputs)

    def adapted(self, at: Point) -> Sequence[Parameters]:
        """Return the parameters after the inner step on each environment; empty for a method without inner steps."""
        del at
        return ()

    def stop(self, checks: Sequence[Check]) -> int | None:
        """Return the index of the evaluation that the method's stopping rule chooses; None: none yet.

        A rule uses the training environments only: their risks and accuracies on training and held-out images.
        """
        del checks
        return None

    @property
    def can_stop(self) -> bool:
        """Whether `stop` can return an evaluation: by default, whether the class overrides `stop`."""
        return self.overrides(Method.stop)

    def overrides(self, *hooks: Callable[..., Any]) -> bool:
        """Whether the class has its own version of one of these functions of `Method`."""
        return any(getattr(type(self), hook.__name__) is not hook for hook in hooks)

    @abstractmethod
    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective of each player in `moving` at this point."""
