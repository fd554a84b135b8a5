"""Images that light one channel each: their first layer need not multiply the dark ones.

A Colored MNIST image of k colours is zero but for the channel of its colour, so (k - 1) / k of the first layer's
products are with zeros. `LitChannels` is the tensor of all images, and knows which rows light which channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Lit:
    """The images that light one channel: `rows` `[m]`, ascending, and their `values` `[m, pixels]` in it.

    `known` are the rows on the host, so that to split them it need not wait for the device.
    """

    rows: Tensor
    values: Tensor
    known: npt.NDArray[np.int64]


class LitChannels(Tensor):
    """Flat images `[n, k * pixels]`, of which each is zero outside one of k channels.

    It is the dense tensor to everything but a linear layer, which takes one product per channel, of the images that
    light it, and `squeeze` and `split` of its rows, which keep this knowledge. The order of the images is theirs.
    """

    lit: tuple[Lit, ...]

    @classmethod
    def of(cls, images: Tensor, channels: int, product: torch.dtype) -> Tensor:
        """Return the images `[..., n, channels * pixels]` with this knowledge, unless one of them lights several.

        Parameters
        ----------
        images
            All axes before the last two have length 1.
        channels
            Equal parts of the last axis.
        product
            Number format in which a layer takes its products, and gives its output.
        """
        parts = images.reshape(images.shape[-2], channels, -1)
        lights = parts.ne(0).any(-1)
        if bool((lights.sum(1) > 1).any()):
            return images
        # An image without any light may stand with any channel.
        owner = lights.to(torch.uint8).argmax(1)
        rows = [(owner == channel).nonzero().squeeze(1) for channel in range(channels)]
        lit = [Lit(own, parts[own, channel].to(product), own.cpu().numpy()) for channel, own in enumerate(rows)]
        return cls._wrap(images, lit)

    @classmethod
    def _wrap(cls, images: Tensor, lit: Sequence[Lit]) -> LitChannels:
        wrapped = images.as_subclass(cls)
        wrapped.lit = tuple(lit)
        return wrapped

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Act as the dense tensor, except in what `_OWN` lists."""
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            own = cls._OWN.get(func) if args and isinstance(args[0], cls) else None
            return (own or func)(*args, **kwargs)

    def _linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        product = self.lit[0].values.dtype
        output: Tensor = _Linear.apply(weight.to(product), None if bias is None else bias.to(product), self.lit)
        return output

    def _squeeze(self, *dim: int) -> Tensor:
        return self._wrap(Tensor.squeeze(self, *dim), self.lit)

    def _split(self, size: int | list[int], dim: int = 0) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = torch.split(self, size, dim)
        if dim != 0 or self.ndim != 2:
            return parts
        ends = np.cumsum([len(part) for part in parts]).tolist()
        cuts = [np.searchsorted(lit.known, ends).tolist() for lit in self.lit]
        shares = []
        for i, part in enumerate(parts):
            first = ends[i] - len(part)
            spans = [slice(own[i - 1] if i else 0, own[i]) for own in cuts]
            lit = [
                Lit(own.rows[span] - first, own.values[span], own.known[span] - first)
                for own, span in zip(self.lit, spans, strict=True)
            ]
            shares.append(self._wrap(part, lit))
        return shares

    _OWN: ClassVar[dict[Any, Callable[..., Any]]] = {
        F.linear: _linear,
        Tensor.squeeze: _squeeze,
        torch.split: _split,
        Tensor.split: _split,
    }


class _Linear(torch.autograd.Function):
    """x W^T + b of the lit parts. Linear in W, and adjoint to `_WeightGradient`: each is the other's derivative."""

    @staticmethod
    def forward(weight: Tensor, bias: Tensor | None, lit: Sequence[Lit]) -> Tensor:
        output = weight.new_empty(sum(len(own.rows) for own in lit), weight.shape[0])
        for own, part in zip(lit, weight.chunk(len(lit), 1), strict=True):
            output.index_copy_(0, own.rows, F.linear(own.values, part, bias))
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        _, bias, ctx.lit = inputs
        ctx.biased = bias is not None

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], weight: Tensor, bias: Tensor | None, lit: Sequence[Lit]
    ) -> tuple[Tensor, int]:
        """Take the products with all weights as one, whose outputs stand side by side."""
        weights = _leading(weight, in_dims[0], info.batch_size)
        biases = None if bias is None else _leading(bias, in_dims[1], info.batch_size).flatten()
        outputs: Tensor = _Linear.apply(weights.flatten(0, 1), biases, lit)
        return outputs.unflatten(1, weights.shape[:2]), 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        return _WeightGradient.apply(gradient, ctx.lit), gradient.sum(0) if ctx.biased else None, None


class _WeightGradient(torch.autograd.Function):
    """g^T x of the lit parts, `[outputs, k * pixels]`."""

    @staticmethod
    def forward(gradient: Tensor, lit: Sequence[Lit]) -> Tensor:
        return torch.cat([gradient.index_select(0, own.rows).mT @ own.values for own in lit], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        _, ctx.lit = inputs

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], gradient: Tensor, lit: Sequence[Lit]) -> tuple[Tensor, int]:
        """Take the products with all gradients as one."""
        gradients = _leading(gradient, in_dims[0], info.batch_size).transpose(0, 1)
        found: Tensor = _WeightGradient.apply(gradients.flatten(1), lit)
        return found.unflatten(0, gradients.shape[1:]), 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Linear.apply(gradient, None, ctx.lit), None


def _leading(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Return a tensor with the batch axis first, that it may not have."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
