"""Compute one method's objectives for all trials of a stack at once, and check them.

A method is a game (see `irm_sweeps.methods.method`); `Game.turn` evaluates it under `torch.func.vmap`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.methods.batch import Batch
from irm_sweeps.methods.method import Method, Point, Turn
from irm_sweeps.methods.risks import Loss
from irm_sweeps.training.evaluation import lifted
from irm_sweeps.training.stacked_data import StackedBatch


@dataclass(frozen=True)
class Scene:
    """The inputs of a move besides the parameters: a `Point` for S trials.

    Every tensor has a leading axis of trials, except `step`, which is one number for all.
    """

    batch: StackedBatch
    numbers: Mapping[str, Tensor]
    noise: Mapping[str, Tensor]
    step: Tensor
    phase: str = ""
    passes: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class Game:
    """The game that the trials of a stack play: what stays the same in all steps.

    Attributes
    ----------
    environments
        Number of training environments.
    trials
        Number of trials, S.
    """

    method: Method
    model: Model
    loss: Loss
    environments: int
    trials: int

    def turn(self, players: Sequence[str], parameters: Mapping[str, Tensor], scene: Scene) -> Turn:
        """Return the turn of all trials; its tensors, like `parameters`, have a leading axis of trials.

        Raises
        ------
        UserError
            The method's `turn` is invalid: an objective is missing or not a scalar, or a value is not a tensor.
        """

        def one(
            values: Any, x: Tensor, y: Tensor, numbers: Any, noise: Any
        ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            batch = Batch(x, y, self.environments, scene.batch.counts)
            at = Point(self.model, values, batch, numbers, scene.step, self.loss, noise, scene.phase, scene.passes)
            turn = self.method.turn(at, players)
            # While torch traces the move there is nothing to check: the same move has run eagerly before.
            if not torch.compiler.is_compiling() and (problem := _problem(turn, players)):
                raise UserError(f"{type(self.method).__name__}.turn: {problem}")
            return turn.objectives, turn.log

        apply = torch.func.vmap(one) if self.trials > 1 else lifted(one)
        return Turn(*apply(parameters, scene.batch.inputs, scene.batch.labels, scene.numbers, scene.noise))


def check_players(method: Method, players: Collection[str], environments: int) -> None:
    """Check that the method's moves in the first step name existing players.

    Raises
    ------
    UserError
        A move names an unknown player.
    """
    for player in (player for move in method.moves(0, environments) for player in move.players):
        if player not in players:
            raise UserError(
                f"{type(method).__name__}.moves: {player!r} is not a player{did_you_mean(player, players)}: "
                f"`players` names {list(players)}"
            )


def _problem(turn: Any, players: Sequence[str]) -> str | None:
    """Return an error message for one trial's invalid turn, else None; only types and shapes are checked."""
    if not (isinstance(turn, Turn) and isinstance(turn.objectives, dict) and isinstance(turn.log, dict)):
        return "a Turn of two dicts is needed, objectives by player and what to log by name"
    if turn.objectives.keys() != set(players):
        return f"{list(players)} move, and there are objectives of {list(turn.objectives)}: one each is needed"
    for player, value in turn.objectives.items():
        if not isinstance(value, Tensor):
            return f"objective of {player!r} is a {type(value).__name__}; a scalar tensor is needed"
        if value.ndim:
            return (
                f"objective of {player!r} has shape {list(value.shape)}; a scalar is needed: reduce it (or the penalty "
                "in it) with mean() or sum()"
            )
    for name, value in turn.log.items():
        if not isinstance(value, Tensor):
            return f"log entry {name!r} is a {type(value).__name__}; a tensor is needed, e.g. risks.new_full((), 0.5)"
    return None


def note_divergence(objectives: Mapping[str, Tensor], diverged_at: Tensor, step: Tensor) -> Tensor:
    """Return `diverged_at` `[S]` with `step` noted for trials that have just diverged.

    A trial diverges when one of its objectives is not finite; its entry is -1 until then and never changes afterwards.
    Does not synchronise with the device.
    """
    finite = torch.stack(list(objectives.values())).isfinite().all(0)
    return torch.where(~finite & (diverged_at < 0), step, diverged_at)


def logged(turn: Turn) -> dict[str, Tensor]:
    """Return the values of a turn that the history records, `[S, ...]` by name."""
    objectives = {f"objective/{player}": value for player, value in turn.objectives.items()}
    return {**objectives, **turn.log}
