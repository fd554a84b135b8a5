"""IGA: penalise differences of the risks' gradients between environments."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER, Parameters
from irm_sweeps.methods.method import Point
from irm_sweeps.methods.penalized import Penalized


class IGA(Penalized):
    """Koyama & Yamaguchi (2020): the squared distance of each environment's gradient from their mean.

    A gradient is that of the risk with respect to all parameters of the network, so the penalty costs a forward and a
    backward pass for each environment. Those passes leave running averages of batch norm alone.
    """

    reference: ClassVar[str] = "Koyama & Yamaguchi (2020), IGA; DomainBed's form"
    default_lam: ClassVar[float | None] = 1000.0
    """DomainBed's default (`penalty`)."""

    environments: Literal["sum", "mean"]
    """How the environments' distances are pooled: `sum` (DomainBed), or `mean`, the trace of the gradients'
    covariance (the paper)."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the pooled squared distance."""
        del features, logits, risks
        gradients = self._gradients(at)
        distances = torch.zeros_like(at.numbers["lam"])
        for of_one_tensor in zip(*gradients, strict=True):
            stacked = torch.stack(of_one_tensor)
            distances = distances + (stacked - stacked.mean(0)).square().sum()
        return distances if self.environments == "sum" else distances / len(gradients)

    def memory(self, parameters: int, images: int, environments: int) -> int:
        """Return the size of the gradients, and of what their own gradient needs."""
        del images
        return 2 * environments * parameters

    def _gradients(self, at: Point) -> list[list[Tensor]]:
        """Return, for each environment of the batch, the gradient of its risk with respect to each tensor."""
        buffers = {name: value for name, value in at.parameters.items() if name.startswith(BUFFER)}
        trained = {name: value for name, value in at.parameters.items() if name not in buffers}

        def risk(parameters: Parameters, inputs: Tensor, labels: Tensor) -> Tensor:
            every = {**parameters, **buffers}
            outputs = at.model.classify(every, at.model.represent(every, inputs, averages=False))
            return at.loss.losses(outputs, labels).mean()

        environments = zip(at.batch.split(at.batch.inputs), at.batch.split(at.batch.labels), strict=True)
        return [list(torch.func.grad(risk)(trained, inputs, labels).values()) for inputs, labels in environments]
