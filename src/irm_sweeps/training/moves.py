"""Run the moves of a training step, either eagerly (`Moves`) or as compiled programs (`CompiledMoves`).

With `CompiledMoves`, torch traces a move once, for all trials of the stack, forward and backward passes together, and
fuses its operations. On a CPU this saves the overhead of Python and of torch's dispatcher, which dominates in small
networks; on a GPU the program is replayed as a CUDA graph. The optimizers' fused kernels are not part of the program.

A process uses one program for all trials of the same kind. Compiling the first one takes seconds; torch caches the
compiled parts on disk for other processes (`TORCHINDUCTOR_CACHE_DIR`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor

from irm_sweeps.errors import UserError, one_line
from irm_sweeps.methods.method import Turn
from irm_sweeps.training.game import Game, Scene, logged, note_divergence
from irm_sweeps.training.parameters import Combine, StackedParameters

Compiled = bool | Literal["if_tiny"]
"""Whether a training's moves run as compiled programs, all of them or those of tiny steps on a CPU."""
BACKEND = "inductor"
"""torch.compile backend that turns a traced move into a program."""
OPTIONS: Mapping[str, bool | int] = {"triton.cudagraphs": True, "cpp.min_chunk_size": 2**15}
"""Options of the inductor backend: CUDA graphs, as `mode="reduce-overhead"` sets them; and loops of fewer than 2^15
elements run on one thread, as in torch's eager kernels, because synchronising threads at every small loop is slow on
busy cores."""
PROGRAMS = 64
"""Maximum number of compiled programs that a process keeps."""


class CannotCompile(UserError):
    """torch cannot compile a move. The trial itself is valid: `compile=false` trains it."""


Gradients = dict[str, dict[str, Tensor]]
"""player -> parameter name -> gradient `[S, ...]`."""
Reached = Mapping[str, Sequence[str]]
"""player -> names of the parameters that its objective depends on."""


class Moves:
    """Run moves eagerly, one operation at a time.

    Attributes
    ----------
    compiling
        Seconds spent so far on compiling moves; not counted as training time.
    """

    def __init__(self, game: Game, parameters: StackedParameters) -> None:
        self._game = game
        self._parameters = parameters
        self.compiling = 0.0

    def take(
        self, players: Sequence[str], scene: Scene, diverged_at: Tensor, *, log: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Let the players take one optimizer step each, all from the current parameters.

        Returns the values to log, `[S, ...]` by name, and the updated `diverged_at` `[S]` (see `note_divergence`). The
        logged values are copies that share no memory with the parameters; without `log` there are none.
        """
        turn = self._game.turn(players, self._parameters.tensors(), scene)
        diverged_at = note_divergence(turn.objectives, diverged_at, scene.step)
        values = _copied(logged(turn)) if log else {}
        self._parameters.move(turn.objectives, self.combiner(scene))
        return values, diverged_at

    def combiner(self, scene: Scene) -> Combine | None:
        """Return the function that combines a player's gradients on a scene; None if the method combines none."""
        if not self._game.combines:
            return None
        return partial(self._game.combine, parameters=self._parameters.tensors(), scene=scene)


class CompiledMoves(Moves):
    """Run each move as one compiled program.

    Unlike eager moves, the moves of a step share no encoder pass, and the first layer multiplies dark channels too
    (see `irm_sweeps.training.lit_channels`).
    """

    def __init__(self, game: Game, parameters: StackedParameters) -> None:
        super().__init__(game, parameters)
        self._reached: dict[tuple[tuple[str, ...], str], Reached] = {}

    def take(
        self, players: Sequence[str], scene: Scene, diverged_at: Tensor, *, log: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Let the players take one optimizer step each, as `Moves.take` does.

        Raises
        ------
        CannotCompile
            torch cannot trace or compile the move; the message says why.
        """
        started = time.perf_counter()
        parameters = self._parameters.tensors()
        # A plain tensor, not a `LitChannels`.
        batch = replace(scene.batch, inputs=scene.batch.inputs.as_subclass(Tensor))
        scene = replace(scene, batch=batch, passes=None)
        move = (tuple(players), scene.phase)
        first = move not in self._reached
        if first:
            # A parameter that the objective does not depend on gets no gradient, so its optimizer state skips the step.
            self._reached[move] = self._parameters.reached(self._game.turn(players, parameters, scene).objectives)
        parameters = {name: p.detach() for name, p in parameters.items()}
        raw, gradients, diverged_at = _run(self._game, self._reached[move], move[0], parameters, scene, diverged_at)
        # Copied, because a value may be a parameter, and the CUDA graph's next replay overwrites its outputs.
        values = _copied(raw) if log else {}
        self._parameters.follow(gradients)
        self.compiling += (time.perf_counter() - started) * first
        return values, diverged_at


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
    """Return the values to log, each player's gradients of its own objective (summed over trials), and `diverged_at`.

    This is the function that torch compiles.
    """

    def objectives(
        trained: Mapping[str, Tensor],
    ) -> tuple[dict[str, Tensor], tuple[dict[str, Tensor], dict[str, Tensor]]]:
        turn = game.turn(players, {**parameters, **trained}, scene)
        sums = {
            player: value.sum(0) if (value := turn.objectives[player]).ndim > 1 else value.sum() for player in reached
        }
        return sums, (turn.objectives, turn.log)

    trained = {name: parameters[name] for names in reached.values() for name in names}
    if not trained:
        turn = game.turn(players, parameters, scene)
        return logged(turn), {}, note_divergence(turn.objectives, diverged_at, scene.step)
    differentiated: tuple[Any, ...] = torch.func.vjp(objectives, trained, has_aux=True)
    sums, pull_back, turn_parts = differentiated
    gradients: Gradients = {}
    turn = Turn(*turn_parts)
    for player, names in reached.items():
        if sums[player].ndim:
            each = [_pulled_back(pull_back, sums, player, k) for k in range(len(sums[player]))]
            stacked = {name: torch.stack([own[name] for own in each], 1) for name in names}
            gradients[player] = game.combine(player, turn.objectives[player], stacked, parameters, scene)
            continue
        cotangents = {other: torch.full_like(value, other == player) for other, value in sums.items()}
        (all_gradients,) = pull_back(cotangents)
        gradients[player] = {name: all_gradients[name] for name in names}
    return logged(turn), gradients, note_divergence(turn.objectives, diverged_at, scene.step)


def _pulled_back(pull_back: Any, sums: Mapping[str, Tensor], player: str, k: int) -> dict[str, Tensor]:
    """Return the gradients of one of the objectives of a player."""
    cotangents = {other: torch.zeros_like(value) for other, value in sums.items()}
    cotangents[player] = torch.eye(len(sums[player]), dtype=sums[player].dtype, device=sums[player].device)[k]
    (gradients,) = pull_back(cotangents)
    own: dict[str, Tensor] = gradients
    return own


@cache
def _program(backend: str) -> Callable[..., tuple[dict[str, Tensor], Gradients, Tensor]]:
    """Return `_move` wrapped by torch.compile."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = PROGRAMS
    # On a machine without a GPU, torch logs a needless warning about CUDA tools.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    options: Any = OPTIONS if backend == "inductor" else None
    return torch.compile(_move, backend=backend, options=options, fullgraph=True, dynamic=False)


def _run(game: Game, *arguments: Any) -> tuple[dict[str, Tensor], Gradients, Tensor]:
    """Run the compiled `_move`; see `CompiledMoves.take` for the errors."""
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
            f"compile=true: torch cannot compile {type(game.method).__name__} ({_summary(error)}): take compile=false"
        ) from error
    return log, gradients, diverged_at.clone() if diverged_at.is_cuda else diverged_at


def forget_programs() -> None:
    """Drop all compiled programs and free their memory; a program that is needed again is compiled again."""
    torch.compiler.reset()


def _summary(error: Exception) -> str:
    """Return one line: the first line of torch's message, the compiler's error, and the last source line named."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    compiler = [line for line in lines[1:] if re.search("error: |No space left", line)]
    places = [line for line in lines if line.startswith("File ")]
    return one_line("; ".join([*lines[:1], *compiler[:1], *places[-1:]]))
