"""The multilayer perceptron for sentences that are the mean of their words' vectors."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from irm_sweeps.backbones.backbone import Backbone
from irm_sweeps.backbones.mlp import MLP


class BagOfWords(Backbone):
    """The classifier of Choe et al. (2020) on frozen, mean-pooled word vectors: an MLP as wide as they are.

    The pooling is the dataset's, once for all steps. Their `n_layers=3` are two hidden layers and the head. Their
    head has two logits; for a binary label it has one here, which is the difference of the two.
    """

    depth: Annotated[int, Field(ge=0)]
    """Hidden layers."""
    width: Annotated[int, Field(ge=1)] | None
    """Units of each hidden layer; null: the dimension of the word vectors."""
    init: Literal["xavier", "torch"]
    """`torch`: PyTorch's own for Linear (Choe et al.). `xavier`: Glorot-uniform weights, zero biases."""

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """Return `depth` x (Linear, ReLU) and the linear head."""
        width = math.prod(features) if self.width is None else self.width
        return MLP(depth=self.depth, width=width, init=self.init).build(features, outputs, generator)
