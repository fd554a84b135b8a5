"""How the players of a move step: operation by operation, or as one compiled program.

`CompiledMoves` lets torch trace a move once, all trials of the stack, forward and backward passes together, and fuse
what it can. On a CPU that spares Python and the dispatcher, most of the time of a small network; on a GPU the program
is replayed as a CUDA graph. The optimizers' fused kernels stay outside.

Programs serve all trials of one kind that a process trains. The first costs seconds; torch keeps the parts on
disk for other processes (`TORCHINDUCTOR_CACHE_DIR`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from irm_sweeps.errors import UserError, one_line
from irm_sweeps.methods.method import Turn
from irm_sweeps.training.game import Game, Scene, logged, watched
from irm_sweeps.training.parameters import StackedParameters

BACKEND = "inductor"
"""What turns a traced move into a program."""
OPTIONS: Mapping[str, bool | int] = {"triton.cudagraphs": True, "cpp.min_chunk_size": 2**15}
"""CUDA graphs, as `mode="reduce-overhead"` sets them; and shorter loops stay on one thread, as in torch's own kernels:
threads that wait for each other at every small loop crawl on busy cores."""
PROGRAMS = 64
"""Most programs that a process keeps."""


class CannotCompile(UserError):
    """torch cannot make a program of a move. It says nothing about the trial, which `compile=false` trains."""


Gradients = dict[str, dict[str, Tensor]]
Reached = Mapping[str, Sequence[str]]


class Moves:
    """Moves operation by operation, as Python comes to them.

    Attributes
    ----------
    compiling
        Seconds spent so far on what is no part of a step, but makes later ones quick.
    """

    def __init__(self, game: Game, parameters: StackedParameters) -> None:
        self._game = game
        self._parameters = parameters
        self.compiling = 0.0

    def take(
        self, players: Sequence[str], scene: Scene, diverged_at: Tensor, *, log: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Let the players step from where they stand.

        Returns what to log, `[S, ...]` by name, and `diverged_at` `[S]` as `watched` gives it. What to log shares no
        memory with what moves; without `log` it is empty.
        """
        turn = self._game.turn(players, self._parameters.tensors(), scene)
        diverged_at = watched(turn.objectives, diverged_at, scene.step)
        shown = _copied(logged(turn)) if log else {}
        self._parameters.move(turn.objectives)
        return shown, diverged_at


class CompiledMoves(Moves):
    """Each move as one program.

    Moves of a step share no encoder pass, and images that light one channel are multiplied like any others.
    """

    def __init__(self, game: Game, parameters: StackedParameters) -> None:
        super().__init__(game, parameters)
        self._reached: dict[tuple[tuple[str, ...], str], Reached] = {}

    def take(
        self, players: Sequence[str], scene: Scene, diverged_at: Tensor, *, log: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Let the players step from where they stand.

        Raises
        ------
        CannotCompile
            The message says what stands in the way.
        """
        started = time.perf_counter()
        parameters = self._parameters.tensors()
        # The tensor itself, and not what it knows of dark channels.
        batch = replace(scene.batch, inputs=scene.batch.inputs.as_subclass(Tensor))
        scene = replace(scene, batch=batch, passes=None)
        move = (tuple(players), scene.phase)
        first = move not in self._reached
        if first:
            # What an objective does not depend on has no gradient, and its optimizer does not count the step.
            self._reached[move] = self._parameters.reached(self._game.turn(players, parameters, scene).objectives)
        parameters = {name: p.detach() for name, p in parameters.items()}
        found, gradients, diverged_at = _run(self._game, self._reached[move], move[0], parameters, scene, diverged_at)
        # A parameter itself may be among it, and a graph's next replay writes over all that this one gave.
        shown = _copied(found) if log else {}
        self._parameters.follow(gradients)
        self.compiling += (time.perf_counter() - started) * first
        return shown, diverged_at


def _copied(log: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in log.items()}


def _move(
    game: Game,
    reached: Reached,
    players: Sequence[str],
    parameters: Mapping[str, Tensor],
    scene: Scene,
    diverged_at: Tensor,
) -> tuple[dict[str, Tensor], Gradients, Tensor]:
    """Return what to log, each player's gradients of its own objective (summed over trials), and `diverged_at`."""

    def objectives(own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[dict[str, Tensor], dict[str, Tensor]]]:
        turn = game.turn(players, {**parameters, **own}, scene)
        return {player: turn.objectives[player].sum() for player in reached}, (turn.objectives, turn.log)

    moved = {name: parameters[name] for names in reached.values() for name in names}
    if not moved:
        turn = game.turn(players, parameters, scene)
        return logged(turn), {}, watched(turn.objectives, diverged_at, scene.step)
    pulled: tuple[Any, ...] = torch.func.vjp(objectives, moved, has_aux=True)
    sums, pull, found = pulled
    gradients: Gradients = {}
    for player, names in reached.items():
        towards = {other: torch.full_like(value, other == player) for other, value in sums.items()}
        (every,) = pull(towards)
        gradients[player] = {name: every[name] for name in names}
    turn = Turn(*found)
    return logged(turn), gradients, watched(turn.objectives, diverged_at, scene.step)


@cache
def _program(backend: str) -> Callable[..., tuple[dict[str, Tensor], Gradients, Tensor]]:
    import torch._dynamo

    torch._dynamo.config.recompile_limit = PROGRAMS
    # Where there is no GPU, torch warns that its tools are installed for one.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    own: Any = OPTIONS if backend == "inductor" else None
    return torch.compile(_move, backend=backend, options=own, fullgraph=True, dynamic=False)


def _run(game: Game, *arguments: Any) -> tuple[dict[str, Tensor], Gradients, Tensor]:
    program = _program(BACKEND)
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    torch.compiler.cudagraph_mark_step_begin()
    try:
        try:
            log, gradients, diverged_at = program(game, *arguments)
        except FailOnRecompileLimitHit:
            forget_programs()
            log, gradients, diverged_at = program(game, *arguments)
    except TorchDynamoException as error:
        raise CannotCompile(
            f"compile=true: torch cannot compile {type(game.method).__name__} ({_told(error)}): take compile=false"
        ) from error
    return log, gradients, diverged_at.clone() if diverged_at.is_cuda else diverged_at


def forget_programs() -> None:
    """Drop all programs and the memory that they keep; what is still needed is compiled again."""
    torch.compiler.reset()


def _told(error: Exception) -> str:
    """Return the first line of torch's explanation, the compiler's, and where in the user's code it happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    compiler = [line for line in lines[1:] if re.search("error: |No space left", line)]
    places = [line for line in lines if line.startswith("File ")]
    return one_line("; ".join([*lines[:1], *compiler[:1], *places[-1:]]))
