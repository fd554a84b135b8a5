"""A linear layer and its ReLU as one operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irm_sweeps.device import rectifies_while_multiplying

LARGE = 2**18
"""Least number of input elements at which one kernel repays its overhead."""


def rectified_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ReLU(x W^T + b), `[n, outputs]`.

    A tensor with a method `rectified_linear(weight, bias)` is asked for it. On a CPU, large inputs are multiplied,
    added to and rectified by one kernel; torch's own two would write the output three times.
    """
    own = getattr(x, "rectified_linear", None)
    if own is not None:
        output: Tensor = own(weight, bias)
        return output
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.numel() < LARGE:
        return F.relu(F.linear(x, weight, bias))
    if torch.is_autocast_enabled("cpu"):
        product = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(product), weight.to(product), bias.to(product)
    rectified: Tensor = _RectifiedLinear.apply(x, weight, bias)
    return rectified


def rectified_product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ReLU(x W^T + b) without a derivative, by one kernel where the processor's library has it."""
    one_kernel = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.numel() >= LARGE
    if one_kernel and rectifies_while_multiplying():
        output: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
        return output
    return F.linear(x, weight, bias).relu_()


def where_positive(gradient: Tensor, output: Tensor) -> Tensor:
    """Return the gradient of a ReLU's input from those of its output."""
    passed: Tensor = torch.ops.aten.threshold_backward(gradient, output, 0)
    return passed


class HiddenLayers(nn.Sequential):
    """Linear layers, a ReLU after each. In training each pair is one `rectified_linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last ReLU."""
        if not self.training:
            output: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return output
        for module in self:
            if isinstance(module, nn.Linear):
                x = rectified_linear(x, module.weight, module.bias)
            elif not isinstance(module, nn.ReLU):
                x = module(x)
        return x


class _RectifiedLinear(torch.autograd.Function):
    """ReLU(x W^T + b). The derivative consists of torch's operations, so it can be differentiated again."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return rectified_product(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight, output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, int]:
        """Multiply by torch's own operations."""
        del info
        return torch.func.vmap(lambda *own: F.relu(F.linear(*own)), in_dims)(x, weight, bias), 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight, output = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        gradient = where_positive(gradient, output)
        return (
            gradient @ weight if of_x else None,
            gradient.mT @ x if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )
