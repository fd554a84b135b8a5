"""Methods whose last stage freezes the encoder, and yet use other features in each of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from irm_sweeps import Method, Point, Stage, Turn
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.methods.method import Move

FROZEN_FROM = 2


class FrozenFromTwo(Method):
    """ERM; from the third step on of the head alone, on features that are not those of the batch."""

    deed: Literal["inputs", "parameters", "gradient", "none"]
    """`inputs`, `parameters`: these, or the encoder's, are scaled by a number of the step. `gradient`: a derivative by
    torch.func is in the objective. `none`: ERM."""

    def noise(self, parameters: Mapping[str, Tensor], environments: int) -> dict[str, tuple[int, ...]]:
        del parameters, environments
        return {"scale": ()}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        heads = [name for name in names if name.startswith("head.")]
        return {"encoder": [name for name in names if name not in heads], "head": heads}

    def stages(self) -> Sequence[Stage]:
        return [
            Stage("all", moves=[Move(["head"]), Move(["encoder"])]),
            Stage("frozen", FROZEN_FROM, moves=[Move(["head"])]),
        ]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        mine = at
        if self.deed == "inputs":
            mine = replace(at, batch=replace(at.batch, inputs=at.batch.inputs * at.noise["scale"]))
        if self.deed == "parameters":
            scaled = {name: own * at.noise["scale"] for name, own in at.parameters.items() if "representation" in name}
            mine = replace(at, parameters={**at.parameters, **scaled})
        if self.deed == "gradient":

            def risk(weight: Tensor) -> Tensor:
                return at.risks(weight * at.logits(at.features())).mean()

            objective = risk(torch.ones_like(at.noise["scale"])) + torch.func.grad(risk)(at.noise["scale"]).square()
        else:
            first = at.risks(at.logits(at.features())).mean()
            objective = first + mine.risks(mine.logits(mine.features())).mean()
        return Turn(dict.fromkeys(moving, objective), {"objective": objective})


class AsksFirst(FrozenFromTwo):
    """The head's `combine` is the first to ask for the features, without gradients; then the encoder moves."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        features = at.features() if "encoder" in moving else at.model.represent(at.parameters, at.batch.inputs).detach()
        risk = at.risks(at.logits(features)).mean()
        return Turn(dict.fromkeys(moving, torch.stack([risk, risk])), {})

    def combine(
        self, at: Point, player: str, objectives: Tensor, gradients: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        size = at.features().square().mean()
        return {name: size * gradient.sum(0) for name, gradient in gradients.items()}


class DroppingOut(MLP):
    """A network whose representation drops a fifth of its units in training."""

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        representation, head = super().build(features, outputs, generator)
        return nn.Sequential(representation, nn.Dropout(0.2)), head
