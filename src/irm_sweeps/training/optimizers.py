"""The configurable optimizers. They are element-wise, so one instance serves a whole stack of trials."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any

import torch
from pydantic import Field

from irm_sweeps.config import Component, Number
from irm_sweeps.training import torch_optimizers


class Optimizer(Component):
    """Base class of optimizers. An optimizer must be element-wise: a trial's update must not depend on other trials."""

    lr: Annotated[Number, Field(gt=0)]
    """Learning rate."""

    decay_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """When the learning rate drops, as fractions of the trial's steps; empty: never."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Factor by which the learning rate is multiplied at each drop."""

    cosine_from: Annotated[float, Field(ge=0, lt=1)] | None = None
    """From which fraction of the trial's steps on the learning rate falls to 0 as half a period of a cosine
    (Loshchilov & Hutter 2017, without restarts); None: never."""

    def factor(self, progress: float) -> float:
        """Return the learning rate divided by its initial value, after a fraction `progress` of the steps."""
        drops = float(self.decay ** sum(progress >= at for at in self.decay_at))
        if self.cosine_from is None or progress <= self.cosine_from:
            return drops
        return drops * (1 + math.cos(math.pi * (progress - self.cosine_from) / (1 - self.cosine_from))) / 2

    @abstractmethod
    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the torch optimizer over parameter groups `{"params": [...], "lr": ...}`."""


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), fused where torch has a fused kernel for the device."""

    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    """Decay rates of the running means of the gradient and of its square."""
    eps: Annotated[float, Field(gt=0)]
    """Constant added to the root of the second moment."""
    weight_decay: Annotated[float, Field(ge=0)]
    """L2 coefficient added to the gradient (not scaled by the penalty weight, unlike `training.l2`)."""

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return a fused `torch.optim.Adam`."""
        return torch_optimizers.Adam(groups, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=True)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Momentum: the fraction of the previous update that is added."""
    nesterov: bool
    """Whether to use Nesterov momentum."""
    weight_decay: Annotated[float, Field(ge=0)]
    """L2 coefficient added to the gradient (not scaled by the penalty weight, unlike `training.l2`)."""

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return a fused `torch.optim.SGD`."""
        return torch_optimizers.SGD(
            groups, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay, fused=True
        )
