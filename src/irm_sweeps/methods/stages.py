"""The stages of a method's training, and what a method sees where one ends and the next begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters

if TYPE_CHECKING:
    from irm_sweeps.methods.method import Fresh, Move, Pace


@dataclass(frozen=True)
class Stage:
    """A stretch of training, from the step at which it begins to the beginning of another one.

    Attributes
    ----------
    name
        What `Point.phase` is during the stage, and `Method.enter` gets when it begins.
    begins
        Number of updates done before it begins, or as a float in [0, 1) a share of the trial's steps, rounded down.
    moves
        The moves of each of its steps; players in none of them are frozen. None: those that `Method.moves` returns.
    restarts
        Whether the optimizers' state is reset when it begins.
    paces
        The paces of players from then on, by name; a player that is not named keeps its own. A stage with paces
        restarts the optimizers.
    numbers_only
        Whether nothing but numbers in the objectives changes, e.g. the weight of a penalty. Such a stage may begin at
        another step in each trial of a stack: `turn` asks `Point.begun(name)`, it is no `Point.phase`, and `enter` is
        not called.
    """

    name: str
    begins: int | float = 0
    moves: Sequence[Move] | None = None
    restarts: bool = False
    numbers_only: bool = False
    paces: Mapping[str, Pace] | None = None

    def first_step(self, steps: int) -> int:
        """Return the number of updates done before it begins, in a training of `steps` steps."""
        return int(self.begins * steps) if isinstance(self.begins, float) else int(self.begins)


@dataclass(frozen=True)
class Boundary:
    """One trial where a stage begins: the inputs of `Method.enter`.

    Attributes
    ----------
    labels, environments, side
        Of all training images, in the order of `Batch.index`: `[images]`, the number of each image's environment
        `[images]`, and `[images, k]` or None.
    over_images
        A function that applies a function of inputs `[n, *features]` to all training images, prepared as for an
        evaluation, a piece at a time and without gradients; returns `[images, ...]`. A network with running averages
        normalises by them; in mixed precision layers multiply as in training.
    fresh
        A function from a purpose to newly initialised parameters of the backbone, drawn from the trial's seed:
        `fresh("backbone")` are those that training began with, any other purpose gives an independent draw. Running
        averages are among them, as training began with them.
    generator
        Source of other random numbers, of the trial's seed and this stage.
    """

    model: Model
    parameters: Parameters
    numbers: Mapping[str, Tensor]
    labels: Tensor
    environments: Tensor
    side: Tensor | None
    over_images: Callable[[Callable[[Tensor], Tensor]], Tensor]
    fresh: Fresh
    generator: torch.Generator
