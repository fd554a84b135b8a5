"""The contract of a method: a game on a batch of environments.

A method names its players (groups of parameters) and, as a pure function of where the game stands, the
scalar each player minimises. The training loop differentiates each player's scalar with respect to that
player's parameters only, and knows no method by name. Because the functions are pure, `torch.func.vmap`
turns one trial's game into a stack of trials.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters
from irm_sweeps.config import Component
from irm_sweeps.draws import Draws
from irm_sweeps.methods.risks import losses


@dataclass(frozen=True)
class Batch:
    """Inputs `[environments * n, *features]` and labels `[environments * n]`, one environment after another."""

    inputs: Tensor
    labels: Tensor
    environments: int

    def by_environment(self, values: Tensor) -> Tensor:
        """Reshape `[environments * n, ...]` to `[environments, n, ...]`."""
        return values.unflatten(0, (self.environments, -1))

    def means(self, values: Tensor) -> Tensor:
        """Return the mean of per-image values in each environment, `[environments, ...]`."""
        return self.by_environment(values).mean(1)

    def half_means(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means over the even and over the odd images of each environment: independent halves."""
        split = self.by_environment(values)
        return split[:, ::2].mean(1), split[:, 1::2].mean(1)


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
        Updates done so far.
    """

    model: Model
    parameters: Parameters
    batch: Batch
    numbers: Mapping[str, Tensor]
    step: int

    def features(self) -> Tensor:
        """Return h_u of the batch, `[environments * n, width]`."""
        return self.model.represent(self.parameters, self.batch.inputs)

    def logits(self, features: Tensor) -> Tensor:
        """Return g_v of the features."""
        return self.model.classify(self.parameters, features)

    def risks(self, logits: Tensor) -> Tensor:
        """Return R^e, the mean loss of each environment, `[environments]`."""
        return self.batch.means(losses(logits, self.batch.labels))

    def l2(self) -> Tensor | float:
        """Return `training.l2` times the sum of squares of all parameters; 0 where no trial wants it."""
        if "l2" not in self.numbers:
            return 0.0
        squares = [p.square().sum() for p in self.parameters.values()]
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


class Method(Component):
    """A game. Subclass it in one file, and name the subclass in one YAML's `_target_`."""

    uses_lam: ClassVar[bool] = True
    """False where the penalty weight changes nothing; `lam` then does not tell trials apart."""
    stacks: ClassVar[bool] = True
    """False where the objective cannot be vectorised over trials."""
    reference: ClassVar[str] = ""
    """Paper and equation."""

    def extra_parameters(self, model: Model, environments: int, draws: Draws) -> dict[str, Tensor]:
        """Return the initial parameters that the method adds to the backbone's; none by default."""
        del model, environments, draws
        return {}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return which parameters each player moves; one player, `model`, moves all by default."""
        return {"model": list(names)}

    def moves(self, step: int) -> Sequence[Sequence[str]]:
        """Return the moves of one step, in order; the players of one move step at the same time."""
        del step
        return [["model"]]

    def restarts_optimizer_at(self) -> int | None:
        """Return the step before which optimizer state is forgotten, if any (DomainBed's habit)."""
        return None

    @abstractmethod
    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective of each moving player at this point."""
