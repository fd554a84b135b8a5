"""IRMv1: penalise the gradient of each environment's risk with respect to a dummy classifier."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import Model, Parameters, in_full
from irm_sweeps.errors import UserError
from irm_sweeps.methods.batch import even_and_odd
from irm_sweeps.methods.method import Point
from irm_sweeps.methods.penalized import Penalized
from irm_sweeps.methods.risks import columns


class IRMv1(Penalized):
    """Arjovsky et al. (2019), as lin2021 Eq. 2 and bae2021 Eq. 2: sum_e R^e + lam ||grad_w R^e||^2.

    `on=output` is lin2021's (o): w multiplies the logits and is fixed at 1. `on=hidden` is its (h): w is
    the classifier head itself. Both gradients have a closed form: the mean over images of the residual
    (d loss / d logit: for cross-entropy predicted minus observed probability) times the logit, or times the
    feature vector. So the penalty costs no second backward pass.
    """

    reference: ClassVar[str] = "Arjovsky et al. (2019), IRMv1; lin2021 Eq. 2"
    default_lam: ClassVar[float | None] = 10_000.0
    """The default of Arjovsky et al.'s Colored MNIST script; its published run has 91257.18613115903."""

    on: Literal["output", "hidden"]
    """What the dummy classifier is: a multiplier of the output, or the (linear) head."""
    dummy: Literal["scalar", "vector"]
    """On the output of k > 1 logits: one multiplier for all (Arjovsky et al.) or one each (Choe et al.)."""
    form: Literal["squared", "even_odd"]
    """`squared`: the norm of the gradient over the batch. `even_odd`: the product of the gradients over its
    even and odd images, unbiased on minibatches and possibly negative (DomainBed, IRMBed); of an environment
    with one image, the squared gradient (IRMBed)."""
    environments: Literal["mean", "sum"]
    """How the environments' penalties are pooled: `sum` in IRMBed and IRM games, else `mean`."""
    hidden_norm: Literal["sum", "mean"]
    """With `on=hidden`: sum over the entries of a gradient (a squared norm), or mean over the entries of
    weight and bias each, then their sum (IRMBed; smaller by the width of the representation)."""

    def check_backbone(self, model: Model) -> None:
        """Check with `on=hidden` that the head is one linear layer, whose gradient has a closed form."""
        if self.on == "hidden" and not model.head_is_linear:
            raise UserError("method.on=hidden needs a backbone whose head is one linear layer")

    def representation(self, model: Model, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits where the dummy classifier multiplies them (as bae2021 Figure 10 has it)."""
        features = model.represent(parameters, inputs)
        return model.classify(parameters, features) if self.on == "output" else features

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the pooled squared gradient norm."""
        del risks
        residual = at.residuals(logits)
        per_environment = (
            self._output(at, residual * logits) if self.on == "output" else self._hidden(at, residual, features)
        )
        return per_environment.sum() if self.environments == "sum" else per_environment.mean()

    def _output(self, at: Point, gradients: Tensor) -> Tensor:
        """Return the norm per environment, given each image's gradient with respect to each logit's multiplier."""
        if gradients.ndim == 1:
            gradients = gradients.unsqueeze(-1)
        elif self.dummy == "scalar":
            gradients = gradients.sum(-1, keepdim=True)
        if self.form == "squared":
            return at.batch.means(gradients).square().sum(-1)
        even, odd = at.batch.half_means(gradients)
        return (even * odd).sum(-1)

    def _hidden(self, at: Point, residual: Tensor, features: Tensor) -> Tensor:
        """Return the norm per environment of the head's gradient: weight `[k, width]` and bias `[k]`."""
        self.check_backbone(at.model)
        residual, features = columns(residual), in_full(features)
        if at.batch.even:
            return self._products(at.batch.by_environment(residual), at.batch.by_environment(features))
        pairs = zip(at.batch.split(residual), at.batch.split(features), strict=True)
        return torch.cat([self._products(r.unsqueeze(0), h.unsqueeze(0)) for r, h in pairs])

    def _products(self, residual: Tensor, features: Tensor) -> Tensor:
        """Return the norms for residuals `[environments, n, k]` and features `[environments, n, width]`."""
        if self.form == "squared":
            halves = [(residual, features)] * 2
        else:
            halves = list(zip(even_and_odd(residual), even_and_odd(features), strict=True))
        first, second = ((r.mT @ h / r.shape[1], r.mean(1)) for r, h in halves)
        weight, bias = first[0] * second[0], first[1] * second[1]
        if self.hidden_norm == "mean":
            return weight.mean((-2, -1)) + bias.mean(-1)
        return weight.sum((-2, -1)) + bias.sum(-1)
