"""Train step by step, interrupt a training, and compare two of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from irm_sweeps.methods.method import Move, Turn
from irm_sweeps.training.checkpoint import pack, unpack
from irm_sweeps.training.loop import Outcome, StackTraining
from irm_sweeps.training.moves import Moves


def advance(run: StackTraining, steps: int) -> None:
    """Train for this many steps."""
    for _ in range(steps):
        run._advance()


def play(run: StackTraining) -> Iterator[tuple[Move, Callable[[], Turn]]]:
    """Play one step: yield each move with a function that computes its turn, then make the move."""
    run.begin_stages()
    moves = run.moves()
    noise = run.noise()
    for move in moves:
        batch = run.data.batch(run.step, move.batch, 1 + max(m.batch for m in moves))

        scene = run.scene(batch, noise)

        def turn(players: Any = move.players, scene: Any = scene) -> Turn:
            return run.game.turn(players, run.parameters.tensors(), scene)

        yield move, turn
        run.parameters.move(turn().objectives, Moves(run.game, run.parameters).combiner(scene))
    run.step += 1


def tensors(run: StackTraining) -> dict[str, Tensor]:
    """Return copies of the first trial's parameters and buffers."""
    return {name: tensor.detach()[0].clone() for name, tensor in run.parameters.tensors().items()}


def players_of(run: StackTraining) -> dict[str, list[str]]:
    """Return the names of each player's tensors."""
    return run.trials[0].method.players(list(run.parameters.tensors()))


def symmetric(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values for the parameters that belong to three environments, equal for all three.

    Those are the tensors of IRM Games' players, and tensors of a method's own with an axis of environments.
    """
    values = {}
    for name, tensor in tensors.items():
        if name.startswith("player."):
            values[name] = tensors[name.split(".", 2)[2]].detach().clone()
        elif not name.startswith(("representation.", "head.")) and tensor.shape[1] == 3:
            values[name] = tensor.detach()[:, :1].expand_as(tensor).clone()
    return values


class StopAt:
    """Control of a training: pack a checkpoint of every trial after one step, then end the training.

    Attributes
    ----------
    checkpoints
        The packed checkpoints, one for each trial of the stack.
    """

    class Stopped(Exception):
        """The training has been ended."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.checkpoints: list[bytes] = []

    def after_step(self, run: StackTraining) -> None:
        """Pack the checkpoints and end the training if this is the step."""
        if run.step == self.step:
            self.checkpoints = [pack(trial.id, *run.state(i)) for i, trial in enumerate(run.trials)]
            raise self.Stopped


def interrupted(first: StackTraining, second: StackTraining, at: int) -> StackTraining:
    """Interrupt the first training after `at` steps; return the second one, resumed from its checkpoints."""
    stopper = StopAt(at)
    with pytest.raises(StopAt.Stopped):
        first.run(stopper)
    pairs = zip(second.trials, stopper.checkpoints, strict=True)
    second.restore([unpack(trial.id, checkpoint) for trial, checkpoint in pairs])
    assert second.step == at
    return second


def numbers(value: Any) -> list[float]:
    """Return the numbers of nested mappings and lists, flat; None becomes NaN, which numpy takes as equal."""
    if isinstance(value, Mapping):
        return [x for key in sorted(value) for x in numbers(value[key])]
    if isinstance(value, list | tuple):
        return [x for item in value for x in numbers(item)]
    return [] if isinstance(value, str) else [float("nan") if value is None else float(value)]


def assert_same_outcome(a: Outcome, b: Outcome) -> None:
    """Assert that steps, metrics and histories are equal, numbers to 1e-9."""
    assert (a.steps, a.diverged_at) == (b.steps, b.diverged_at)
    for one, other in ((a.metrics, b.metrics), (a.history, b.history)):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-9, atol=1e-9)


def assert_same_parameters(
    stack: StackTraining, rows: int | slice, other: StackTraining, but: Collection[str] = ()
) -> None:
    """Assert that these trials of a stack have the parameters of another one, to 1e-9; `but`: names left out."""
    tensors = stack.parameters.tensors()
    chosen = slice(rows, rows + 1) if isinstance(rows, int) else rows
    for name, expected in other.parameters.tensors().items():
        if name not in but:
            found = tensors[name].detach()[chosen].to(expected.device)
            torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-9)
