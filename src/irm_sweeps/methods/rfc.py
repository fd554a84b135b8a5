"""RFC: construct a rich representation from two models that err differently, then train IRMv1 from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.methods.method import STATE, Fresh, Method, Move, Point, Turn
from irm_sweeps.methods.stages import Boundary, Stage

SECOND = "second."
"""Prefix of the head that learns the second round's predictions."""
FIRST_PREDICTION, SECOND_PREDICTION = STATE + "first_prediction", STATE + "second_prediction"
"""The class that the model of each discovery round predicts for a training image, `[images]`."""

Steps = Annotated[int, Field(ge=1)]


class RFC(Method):
    """Zhang et al. (2022): two rounds of discovery, a synthesis of what they found, and IRMv1 from there.

    Four stages, each of which draws a network anew, but for the last. `discovery`: ERM. `second_discovery`: the larger
    of the risks of the images that the first model got right and of those it got wrong. `synthesis`: one representation
    with two heads, which learn the predictions of the first and of the second model; images that both got right or both
    wrong weigh as much in sum as the others (the released code draws as many of both). `invariance`: the head is the
    mean of both, and the model minimises (sum of risks + l2 + lam * IRMv1's penalty) / lam, or without / lam where
    lam <= 1. All stages have l2.
    """

    reference: ClassVar[str] = "Zhang et al. (2022), Rich Feature Construction; the released Colored MNIST script"
    default_lam: ClassVar[float | None] = 10_000.0
    """The middle one of the released script's, 1,000 to 100,000."""
    needs_classes: ClassVar[bool] = True

    discovery_steps: Steps
    """Steps of the first round, ERM."""
    second_discovery_steps: Steps
    """Steps of the second round."""
    synthesis_steps: Steps
    """Steps of the synthesis."""
    frozen: bool
    """Whether the representation is frozen from then on, so that IRMv1 trains the head only."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the second head."""
        del environments, generator
        drawn = fresh("synthesis/second")
        return {_of_second(name): value for name, value in drawn.items() if name.startswith("head.")}

    def image_parameters(self, images: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return no predictions yet."""
        del generator
        none = torch.zeros(images, dtype=torch.float32, device="cpu")
        return {FIRST_PREDICTION: none, SECOND_PREDICTION: none.clone()}

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the representation, its head and the second head."""
        own = [name for name in names if not name.startswith(STATE)]
        return {
            "representation": [name for name in own if not name.startswith(("head.", SECOND))],
            "head": [name for name in own if name.startswith("head.")],
            "second": [name for name in own if name.startswith(SECOND)],
        }

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        """Return one move of representation and head."""
        del step, environments
        return [Move(["representation", "head"])]

    def stages(self) -> Sequence[Stage]:
        """Return the four stages."""
        second, third = self.discovery_steps, self.discovery_steps + self.second_discovery_steps
        both = [Move(["representation", "head", "second"])]
        return [
            Stage("discovery"),
            Stage("second_discovery", second, restarts=True),
            Stage("synthesis", third, moves=both, restarts=True),
            Stage(
                "invariance",
                third + self.synthesis_steps,
                moves=[Move(["head"])] if self.frozen else None,
                restarts=True,
            ),
        ]

    def enter(self, stage: str, at: Boundary) -> Mapping[str, Tensor]:
        """Return the predictions that the last stage led to and new networks, or in the end the mean of both heads."""
        if stage == "discovery":
            return {}
        if stage == "invariance":
            heads = [name for name in at.parameters if name.startswith("head.")]
            return {name: (at.parameters[name] + at.parameters[_of_second(name)]) / 2 for name in heads}
        logits = at.over_images(lambda inputs: self.predict(at.model, at.parameters, inputs))
        predicted = (logits > 0 if logits.ndim == 1 else logits.argmax(-1)).to(logits.dtype)
        found = FIRST_PREDICTION if stage == "second_discovery" else SECOND_PREDICTION
        return {found: predicted, **at.fresh(stage)}

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the objective of the stage."""
        features = at.features()
        logits = at.logits(features)
        losses = at.loss.losses(logits, at.batch.labels)
        risks = at.batch.means(losses)
        if at.phase == "invariance":
            penalty = at.irm_penalty(logits)
            lam = at.numbers["lam"]
            objective = (risks.sum() + at.l2() + lam * penalty) / lam.clamp(min=1.0)
            return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": penalty})
        if at.phase == "discovery":
            objective = losses.mean()
        elif at.phase == "second_discovery":
            objective, _ = _means_of_parts(self._right(at, FIRST_PREDICTION), losses)[0].max(0)
        else:
            objective = self._synthesis(at, features, logits)
        return Turn(dict.fromkeys(moving, objective + at.l2()), {"risks": risks})

    def _synthesis(self, at: Point, features: Tensor, logits: Tensor) -> Tensor:
        first, second = (at.parameters[name][at.batch.index] for name in (FIRST_PREDICTION, SECOND_PREDICTION))
        heads = {name: at.parameters[_of_second(name)] for name in at.parameters if name.startswith("head.")}
        other = at.model.classify({**at.parameters, **heads}, features)
        losses = (at.loss.losses(logits, first) + at.loss.losses(other, second)) / 2
        alike = self._right(at, FIRST_PREDICTION) == self._right(at, SECOND_PREDICTION)
        means, parts = _means_of_parts(alike, losses)
        return means.sum() / parts

    def _right(self, at: Point, predictions: str) -> Tensor:
        """Return whether a round's model got each image right."""
        predicted = at.parameters[predictions][at.batch.index]
        return predicted == at.batch.labels.to(predicted.dtype)


def _of_second(name: str) -> str:
    """Return the second head's name of a tensor of the head."""
    return SECOND + name.removeprefix("head.")


def _means_of_parts(members: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean values of members and others, `[2]`, 0 of no images, and the number of parts with images."""
    parts = torch.stack([members, ~members]).to(values.dtype)
    sizes = parts.sum(1)
    return (parts * values).sum(1) / sizes.clamp(min=1.0), (sizes > 0).sum()
