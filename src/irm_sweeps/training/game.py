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
from irm_sweeps.methods.encoder_pass import EncoderPass, KeptFeatures
from irm_sweeps.methods.method import Method, Point, Turn
from irm_sweeps.methods.risks import Loss
from irm_sweeps.methods.scalars import not_a_scalar
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
    begins: Mapping[str, Tensor]
    phase: str = ""
    passes: KeptFeatures | None = None


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

        def one(parts: _Parts) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            turn = self.method.turn(self._point(parts, scene), players)
            # While torch traces the move there is nothing to check: the same move has run eagerly before.
            if not torch.compiler.is_compiling() and (problem := _problem(turn, players, self.combines)):
                raise UserError(f"{type(self.method).__name__}.turn: {problem}")
            return turn.objectives, turn.log

        return Turn(*self._lift(one)(_parts(parameters, scene)))

    def combine(
        self,
        player: str,
        objectives: Tensor,
        gradients: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        scene: Scene,
    ) -> dict[str, Tensor]:
        """Return the combined gradients `[S, *shape]` of a player with k objectives `[S, k]`.

        `gradients` are `[S, k, *shape]` by name.

        Raises
        ------
        UserError
            The method's `combine` returns other names or shapes than the player's tensors have.
        """

        def one(parts: _Parts, objectives: Tensor, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
            combined = self.method.combine(self._point(parts, scene), player, objectives, gradients)
            if not torch.compiler.is_compiling():
                _check_combined(type(self.method).__name__, player, combined, gradients)
            return dict(combined)

        with torch.no_grad():
            parts = _parts({name: tensor.detach() for name, tensor in parameters.items()}, scene)
            combined: dict[str, Tensor] = self._lift(one)(parts, objectives.detach(), dict(gradients))
        return combined

    @property
    def combines(self) -> bool:
        """Whether a player may have several objectives: the method overrides `combine`."""
        return self.method.overrides(Method.combine)

    def _lift(self, one: Any) -> Any:
        return torch.func.vmap(one) if self.trials > 1 else lifted(one)

    def _point(self, parts: _Parts, scene: Scene) -> Point:
        """Return one trial's point; the kept features of a scene are those of the one trial of the stack."""
        images = parts["images"]
        batch = Batch(
            images["inputs"],
            images["labels"],
            self.environments,
            scene.batch.counts,
            images["index"],
            images.get("side"),
        )
        return Point(
            self.model,
            parts["parameters"],
            batch,
            parts["numbers"],
            scene.step,
            self.loss,
            parts["noise"],
            scene.phase,
            None if scene.passes is None else EncoderPass(scene.passes, parts["parameters"], batch.inputs),
            parts["begins"],
        )


_Parts = dict[str, dict[str, Tensor]]
"""What differs between the trials of a scene; every tensor has a leading axis of trials outside `vmap`."""


def _parts(parameters: Mapping[str, Tensor], scene: Scene) -> _Parts:
    batch = scene.batch
    images = {"inputs": batch.inputs, "labels": batch.labels, "index": batch.index}
    if batch.side is not None:
        images["side"] = batch.side
    return {
        "parameters": dict(parameters),
        "images": images,
        "numbers": dict(scene.numbers),
        "noise": dict(scene.noise),
        "begins": dict(scene.begins),
    }


def check_side(method: Method, dataset: str, *, given: bool) -> None:
    """Raise a UserError if the method needs side information of images, and the dataset gives none."""
    if method.uses_side and not given:
        raise UserError(
            f"{type(method).__name__} needs side information of the training images, and {dataset} gives none: let its "
            "`draw` return TrialData with `side`, an array [n, k] for each training environment; with Colored MNIST, "
            "give dataset.side=time or dataset.side=environment"
        )


def check_players(method: Method, players: Collection[str], environments: int) -> None:
    """Check that the method's moves and paces, those of each stage and those of the first step, name existing players.

    Raises
    ------
    UserError
        A move or a pace names an unknown player.
    """
    stages = [stage for stage in method.stages() if not stage.numbers_only]
    every = {f"stages, {stage.name!r}": stage.moves for stage in stages if stage.moves is not None}
    if not every or len(every) < len(stages):
        every["moves"] = method.moves(0, environments)
    named = [(where, player) for where, moves in every.items() for move in moves for player in move.players]
    named += [(f"stages, {stage.name!r}, paces", player) for stage in method.stages() for player in stage.paces or {}]
    for where, player in named:
        if player not in players:
            raise UserError(
                f"{type(method).__name__}.{where}: {player!r} is not a player{did_you_mean(player, players)}: "
                f"`players` names {list(players)}"
            )


def _check_combined(method: str, player: str, combined: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
    """Raise unless there is one combined gradient for each tensor of the player, of the tensor's shape."""
    if combined.keys() != gradients.keys():
        raise UserError(f"{method}.combine: {player!r} needs gradients for {list(gradients)}, not {list(combined)}")
    for name, value in combined.items():
        if value.shape != gradients[name].shape[1:]:
            raise UserError(
                f"{method}.combine: the gradient of {player!r} for {name!r} has shape {list(value.shape)}, and the "
                f"tensor has {list(gradients[name].shape[1:])}: reduce the first axis, that of the objectives"
            )


def _problem(turn: Any, players: Sequence[str], combines: bool) -> str | None:
    """Return an error message for one trial's invalid turn, else None; only types and shapes are checked."""
    if not (isinstance(turn, Turn) and isinstance(turn.objectives, dict) and isinstance(turn.log, dict)):
        return "a Turn of two dicts is needed, objectives by player and what to log by name"
    if turn.objectives.keys() != set(players):
        return f"{list(players)} move, and there are objectives of {list(turn.objectives)}: one each is needed"
    for player, value in turn.objectives.items():
        several = combines and isinstance(value, Tensor)
        if (wrong := not_a_scalar(value)) and not (several and value.ndim == 1 and len(value)):
            return f"objective of {player!r} is {wrong}{', or to one axis of objectives for `combine`' * several}"
    for name, value in turn.log.items():
        if not isinstance(value, Tensor):
            return f"log entry {name!r} is a {type(value).__name__}; a tensor is needed, e.g. risks.new_full((), 0.5)"
    return None


def note_divergence(objectives: Mapping[str, Tensor], diverged_at: Tensor, step: Tensor) -> Tensor:
    """Return `diverged_at` `[S]` with `step` noted for trials that have just diverged.

    A trial diverges when one of its objectives is not finite; its entry is -1 until then and never changes afterwards.
    Does not synchronise with the device.
    """
    finite = torch.cat([value.flatten(1) if value.ndim > 1 else value[:, None] for value in objectives.values()], 1)
    return torch.where(~finite.isfinite().all(1) & (diverged_at < 0), step, diverged_at)


def logged(turn: Turn) -> dict[str, Tensor]:
    """Return the values of a turn that the history records, `[S, ...]` by name."""
    objectives = {f"objective/{player}": value for player, value in turn.objectives.items()}
    return {**objectives, **turn.log}
