"""When the stages of a stack's trials begin, and what changes then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters
from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.methods.method import Fresh, Method, Pace
from irm_sweeps.methods.stages import Boundary, Stage
from irm_sweeps.process_state import fresh_state
from irm_sweeps.training.stacked_data import StackedData

_FORMER = ("phase", "resets_at", "reset", "restarts_optimizer_at")
"""Functions of methods whose part `stages` and `enter` have taken over."""


class Timeline:
    """The stages of the trials of a stack, whose methods differ in when stages of numbers only begin.

    Parameters
    ----------
    steps
        Number of steps of the training.

    Attributes
    ----------
    begins
        The first step of each stage by name, int64 `[S]`.

    Raises
    ------
    UserError
        A method's stages are invalid, or it has one of the functions that stages have replaced.
    """

    def __init__(self, methods: Sequence[Method], steps: int, device: torch.device) -> None:
        check_stages(methods[0])
        self._steps = steps
        self._stages = list(methods[0].stages())
        firsts = [[stage.first_step(steps) for stage in method.stages()] for method in methods]
        self.begins = {
            stage.name: torch.tensor([own[i] for own in firsts], dtype=torch.int64, device=device)
            for i, stage in enumerate(self._stages)
        }

    def stage(self, step: int) -> Stage:
        """Return the stage that a step belongs to: the last of those that began last; one without a name before any."""
        begun = [stage for stage in self._stages if not stage.numbers_only and stage.first_step(self._steps) <= step]
        return max(reversed(begun), key=lambda stage: stage.first_step(self._steps), default=Stage(""))

    def beginning(self, step: int) -> list[Stage]:
        """Return the stages that begin with a step."""
        return [stage for stage in self._stages if stage.first_step(self._steps) == step]

    def later(self) -> list[int]:
        """Return the first steps of the stages that begin within the training but not with it."""
        firsts = {stage.first_step(self._steps) for stage in self._stages if not stage.numbers_only}
        return sorted(first for first in firsts if 0 < first < self._steps)

    def paces(self, step: int) -> dict[str, Pace]:
        """Return the paces of a step's players by name, of those that no longer have their initial one."""
        begun = [stage for stage in self._stages if stage.first_step(self._steps) <= step]
        begun.sort(key=lambda stage: stage.first_step(self._steps))
        return {player: pace for stage in begun for player, pace in (stage.paces or {}).items()}


def check_stages(method: Method) -> None:
    """Check a method's stages; see `Timeline` for the error."""
    kind = type(method).__name__
    for name in _FORMER:
        if callable(getattr(type(method), name, None)):
            raise UserError(
                f"{kind}.{name}: no longer called: `stages` names the stages of training, which restart the optimizer, "
                "choose the moves and are `at.phase`, and `enter` returns new values where one begins"
            )
    stages = list(method.stages())
    names = [stage.name for stage in stages]
    for stage in stages:
        where = f"{kind}.stages: {stage.name!r}"
        share = isinstance(stage.begins, float)
        if names.count(stage.name) > 1 or not stage.name:
            raise UserError(f"{where}: give each stage a name of its own")
        if stage.begins < 0 or (share and stage.begins >= 1):
            raise UserError(
                f"{where} begins at {stage.begins!r}: give a whole number of steps, e.g. {int(abs(stage.begins))}, or "
                "a share of all steps, at least 0.0 and below 1.0"
            )
        if stage.numbers_only and stage.moves is not None:
            raise UserError(f"{where} has moves, and numbers_only=True: leave one of them out")
        if stage.paces is not None and not stage.restarts:
            raise UserError(f"{where} has paces, and restarts=False: set restarts=True, since the optimizers are new")


def enter(
    stage: str,
    method: Method,
    model: Model,
    parameters: Parameters,
    numbers: Mapping[str, Tensor],
    data: StackedData,
    trial: int,
    fresh: Fresh,
    step: int,
) -> Mapping[str, Tensor]:
    """Return the values that a trial's tensors get where a stage begins, checked against the tensors.

    A network with running averages (batch norm) passes as in an evaluation: it normalises by them, not by a piece of
    the images, and does not update them.

    Parameters
    ----------
    trial
        The trial's position in the stack.

    Raises
    ------
    UserError
        The method names an unknown tensor, or a value has another shape.
    """
    draws = data.draws[trial]
    generator = torch.Generator().manual_seed(draws.integer(f"stage/{stage}"))
    labels, environments, side = data.training_images(trial)
    over_images = partial(_over_images, data, trial, step)
    averages = model.buffers()
    at = Boundary(
        model,
        parameters,
        numbers,
        labels,
        environments,
        side,
        over_images,
        lambda purpose: {**fresh(purpose), **averages},
        generator,
    )
    model.train(not averages)
    try:
        with torch.no_grad(), fresh_state(seed=generator.initial_seed()):
            values = method.enter(stage, at)
    finally:
        model.train(True)
    for name, value in values.items():
        where = f"{type(method).__name__}.enter, stage {stage!r}: {name!r}"
        if name not in parameters:
            raise UserError(f"{where} is no tensor of the trial{did_you_mean(name, parameters)}")
        if not isinstance(value, Tensor) or value.shape != parameters[name].shape:
            given = list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise UserError(f"{where} is {given}: a tensor of shape {list(parameters[name].shape)} is needed")
    return values


def _over_images(data: StackedData, trial: int, step: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([function(inputs) for inputs in data.training_pieces(trial, step)])
