"""A multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from irm_sweeps.backbones.backbone import Backbone
from irm_sweeps.backbones.rectified_linear import HiddenLayers


class _Unfilled(nn.Linear):
    """A linear layer with uninitialised weights. (`nn.utils.skip_init` takes 0.6 s at its first call.)"""

    def reset_parameters(self) -> None:
        """Do not initialise the parameters."""


class MLP(Backbone):
    """A fully connected ReLU network on flattened inputs; its last linear layer is the head.

    The reference network for Colored MNIST (Arjovsky et al. 2019) has two hidden layers of equal width.
    """

    depth: Annotated[int, Field(ge=0)]
    """Number of hidden layers; 0 makes the representation the input itself and the predictor linear."""
    width: Annotated[int, Field(ge=1)]
    """Number of units of each hidden layer."""
    init: Literal["xavier", "torch"]
    """`xavier`: Glorot-uniform weights, zero biases (the reference). `torch`: PyTorch's initialisation of Linear."""

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """Return `depth` x (Linear, ReLU) and the linear head."""
        sizes = [math.prod(features)] + [self.width] * self.depth
        layers: list[nn.Module] = [nn.Flatten()] if len(features) > 1 else []
        for n_in, n_out in pairwise(sizes):
            layers += [self._linear(n_in, n_out, generator), nn.ReLU()]
        return HiddenLayers(*layers), self._linear(sizes[-1], outputs, generator)

    def _linear(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
        layer = _Unfilled(n_in, n_out, device="cpu", dtype=torch.float32)
        if self.init == "xavier":
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        else:
            bound = 1 / math.sqrt(n_in)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        return layer
