"""Skip the zero channels of one-channel images in the first linear layer.

A Colored MNIST image of k colours is zero except in the channel of its colour, so (k - 1) / k of the first layer's
products are with zeros. This module calls the non-zero channel of an image lit and the others dark. `LitChannels` is a
tensor of images that records which images light which channel, and multiplies the lit channels only.
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
    """The images that light one channel.

    Attributes
    ----------
    rows
        `[m]` row numbers of the images, ascending.
    values
        `[m, pixels]` their pixels in this channel.
    host_rows
        A copy of `rows` on the host, with which a batch is split without waiting for the device.
    """

    rows: Tensor
    values: Tensor
    host_rows: npt.NDArray[np.int64]


class LitChannels(Tensor):
    """Flat images `[n, k * pixels]`, each of them zero outside one of k channels.

    A linear layer multiplies each channel with the images that light it only; the order of the images in its output
    is unchanged. `squeeze` and `split` along the rows return `LitChannels` again. Every other operation treats the
    images as the dense tensor.
    """

    lit: tuple[Lit, ...]

    @classmethod
    def of(cls, images: Tensor, channels: int, product: torch.dtype) -> Tensor:
        """Return the images `[..., n, channels * pixels]` as `LitChannels`; unchanged if one lights several channels.

        Parameters
        ----------
        images
            All axes before the last two have length 1.
        channels
            Number of equal parts of the last axis.
        product
            Number format in which a layer multiplies, and of its output.
        """
        parts = images.reshape(images.shape[-2], channels, -1)
        lights = parts.ne(0).any(-1)
        if bool((lights.sum(1) > 1).any()):
            return images
        # An image that lights no channel may be assigned to any.
        channel_of_image = lights.to(torch.uint8).argmax(1)
        rows = [(channel_of_image == channel).nonzero().squeeze(1) for channel in range(channels)]
        lit = [Lit(r, parts[r, channel].to(product), r.cpu().numpy()) for channel, r in enumerate(rows)]
        return cls._wrap(images, lit)

    @classmethod
    def _wrap(cls, images: Tensor, lit: Sequence[Lit]) -> LitChannels:
        """Return `images` as `LitChannels` with the given lit channels."""
        wrapped = images.as_subclass(cls)
        wrapped.lit = tuple(lit)
        return wrapped

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the override in `_OVERRIDES` if there is one, else the function on the dense tensor."""
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            override = cls._OVERRIDES.get(func) if args and isinstance(args[0], cls) else None
            return (override or func)(*args, **kwargs)

    def _linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        product = self.lit[0].values.dtype
        output: Tensor = _Linear.apply(weight.to(product), None if bias is None else bias.to(product), self.lit)
        return output

    def _squeeze(self, *dim: int) -> Tensor:
        return self._wrap(Tensor.squeeze(self, *dim), self.lit)

    def _split(self, size: int | list[int], dim: int = 0) -> Sequence[Tensor]:
        """Return `torch.split`'s parts; those of a split along the rows are `LitChannels`."""
        parts: Sequence[Tensor] = torch.split(self, size, dim)
        if dim != 0 or self.ndim != 2:
            return parts
        ends = np.cumsum([len(part) for part in parts]).tolist()
        # Per channel, where the rows of each part end among the channel's rows.
        cuts = [np.searchsorted(channel.host_rows, ends).tolist() for channel in self.lit]
        lit_parts = []
        for i, part in enumerate(parts):
            first = ends[i] - len(part)
            spans = [slice(cut[i - 1] if i else 0, cut[i]) for cut in cuts]
            lit = [
                Lit(channel.rows[span] - first, channel.values[span], channel.host_rows[span] - first)
                for channel, span in zip(self.lit, spans, strict=True)
            ]
            lit_parts.append(self._wrap(part, lit))
        return lit_parts

    _OVERRIDES: ClassVar[dict[Any, Callable[..., Any]]] = {
        F.linear: _linear,
        Tensor.squeeze: _squeeze,
        torch.split: _split,
        Tensor.split: _split,
    }


class _Linear(torch.autograd.Function):
    """Compute x W^T + b from the lit channels: `[n, outputs]`.

    The result is linear in W and adjoint to `_WeightGradient`, so each function is the other's derivative.
    """

    @staticmethod
    def forward(weight: Tensor, bias: Tensor | None, lit: Sequence[Lit]) -> Tensor:
        output = weight.new_empty(sum(len(channel.rows) for channel in lit), weight.shape[0])
        for channel, weight_part in zip(lit, weight.chunk(len(lit), 1), strict=True):
            output.index_copy_(0, channel.rows, F.linear(channel.values, weight_part, bias))
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
        """Multiply with all trials' weights at once, concatenated along the outputs."""
        weights = _batch_first(weight, in_dims[0], info.batch_size)
        biases = None if bias is None else _batch_first(bias, in_dims[1], info.batch_size).flatten()
        outputs: Tensor = _Linear.apply(weights.flatten(0, 1), biases, lit)
        return outputs.unflatten(1, weights.shape[:2]), 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        return _WeightGradient.apply(gradient, ctx.lit), gradient.sum(0) if ctx.biased else None, None


class _WeightGradient(torch.autograd.Function):
    """Compute g^T x from the lit channels: `[outputs, k * pixels]`."""

    @staticmethod
    def forward(gradient: Tensor, lit: Sequence[Lit]) -> Tensor:
        return torch.cat([gradient.index_select(0, channel.rows).mT @ channel.values for channel in lit], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        _, ctx.lit = inputs

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], gradient: Tensor, lit: Sequence[Lit]) -> tuple[Tensor, int]:
        """Multiply with all trials' gradients at once, concatenated along the outputs."""
        gradients = _batch_first(gradient, in_dims[0], info.batch_size).transpose(0, 1)
        products: Tensor = _WeightGradient.apply(gradients.flatten(1), lit)
        return products.unflatten(0, gradients.shape[1:]), 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Linear.apply(gradient, None, ctx.lit), None


def _batch_first(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Return the tensor with vmap's batch axis `dim` first; expanded to `size` if it has none (`dim` is None)."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
