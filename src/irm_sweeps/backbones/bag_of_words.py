"""A multilayer perceptron for sentences given as the mean of their word vectors."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from irm_sweeps.backbones.backbone import Backbone
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.errors import UserError


class BagOfWords(Backbone):
    """The classifier of Choe et al. (2020) on frozen, mean-pooled word vectors: an MLP of their dimension.

    The dataset pools the vectors, once for all steps. `n_layers=3` in Choe et al. means two hidden layers and the head.
    Their head has two logits; here it has one for a binary label, which is the difference of the two.
    """

    depth: Annotated[int, Field(ge=0)]
    """Number of hidden layers."""
    width: Annotated[int, Field(ge=1)] | None
    """Number of units of each hidden layer; null: the dimension of the word vectors."""
    init: Literal["xavier", "torch"]
    """`torch`: PyTorch's initialisation of Linear (Choe et al.). `xavier`: Glorot-uniform weights, zero biases."""

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """Return `depth` x (Linear, ReLU) and the linear head.

        Raises
        ------
        UserError
            The inputs are images, not vectors.
        """
        if len(features) != 1:
            raise UserError(
                f"backbone=bag_of_words needs vectors, not inputs of shape {list(features)}: choose another dataset, "
                "or for images backbone=resnet18 or mlp"
            )
        width = math.prod(features) if self.width is None else self.width
        return MLP(depth=self.depth, width=width, init=self.init).build(features, outputs, generator)
