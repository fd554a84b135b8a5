"""Skip the pixels that are zero in the first linear layer: those of dark channels, and those that no image lights.

A Colored MNIST image of k colours is zero except in the channel of its colour, so (k - 1) / k of the first layer's
products are with zeros. This module calls the non-zero channel of an image lit and the others dark. Of a channel, the
pixels near the border are zero in all of its images; these are called dark, too. `LitChannels` is a tensor of images
that records which images light which pixels of which channel, and multiplies these only.
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

from irm_sweeps.backbones.rectified_linear import rectified_product, where_positive

SKIPPED = 1 / 16
"""Least part of the first layer's products that repays a copy of the images."""


@dataclass(frozen=True)
class Lit:
    """The images that light one channel.

    Attributes
    ----------
    rows
        `[m]` row numbers of the images, ascending.
    columns
        `[c]` numbers of the channel's lit pixels among all pixels of all channels.
    values
        `[m, c + 1]` the images' lit pixels, and a column of ones, with which a layer's bias is multiplied.
    host_rows
        A copy of `rows` on the host, with which a batch is split without waiting for the device.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    host_rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, images: Tensor, rows: Tensor, first: int, end: int, product: torch.dtype) -> Lit:
        """Return the `rows` of images `[n, pixels]` that light the channel of the pixels from `first` to `end`."""
        own = images[rows, first:end]
        pixels = own.ne(0).any(0).nonzero().squeeze(1)
        values = torch.cat([own[:, pixels], own.new_ones(len(rows), 1)], 1)
        return cls(rows, pixels + first, values.to(product), rows.cpu().numpy())


class LitChannels(Tensor):
    """Flat images `[n, k * pixels]`, each of them zero outside one of k channels.

    A linear layer multiplies the lit pixels of each channel with the images that light it only; the order of the
    images in its output is unchanged. `squeeze` and `split` along the rows return `LitChannels` again. Every other
    operation treats the images as the dense tensor.
    """

    lit: tuple[Lit, ...]

    @classmethod
    def of(cls, images: Tensor, channels: int, product: torch.dtype) -> Tensor:
        """Return the images `[..., n, channels * pixels]` as `LitChannels`; unchanged if too few products are skipped.

        Images of which one lights several channels count as images of one channel.

        Parameters
        ----------
        images
            All axes before the last two have length 1.
        channels
            Number of equal parts of the last axis.
        product
            Number format in which a layer multiplies, and of its output.
        """
        flat = images.reshape(images.shape[-2:])
        lights = flat.unflatten(1, (channels, -1)).ne(0).any(-1)
        if bool((lights.sum(1) > 1).any()):
            return cls.of(images, 1, product)
        # An image that lights no channel may be assigned to any.
        channel_of_image = lights.to(torch.uint8).argmax(1)
        pixels = flat.shape[1] // channels
        lit = [
            Lit.of(flat, (channel_of_image == c).nonzero().squeeze(1), c * pixels, (c + 1) * pixels, product)
            for c in range(channels)
        ]
        if sum(channel.values.numel() for channel in lit) > (1 - SKIPPED) * flat.numel():
            return images
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

    def rectified_linear(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return ReLU(x W^T + b); see `irm_sweeps.backbones.rectified_linear`."""
        return self._linear(weight, bias, rectified=True)

    def _linear(self, weight: Tensor, bias: Tensor | None = None, rectified: bool = False) -> Tensor:
        product = self.lit[0].values.dtype
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        output: Tensor = _Linear.apply(weight.to(product), bias.to(product), self.lit, rectified)
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
                Lit(channel.rows[span] - first, channel.columns, channel.values[span], channel.host_rows[span] - first)
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
    """Compute x W^T + b from the lit pixels, `[n, outputs]`; `rectified`: its ReLU.

    Without the ReLU the result is linear in (W, b) and adjoint to `_Gradients`, so each function is the other's
    derivative.
    """

    @staticmethod
    def forward(weight: Tensor, bias: Tensor, lit: Sequence[Lit], rectified: bool) -> Tensor:
        none = torch.zeros_like(bias)
        outputs = []
        for channel in lit:
            own = torch.cat([weight.index_select(1, channel.columns), bias[:, None]], 1)
            product = rectified_product(channel.values, own, none) if rectified else channel.values @ own.mT
            outputs.append(product)
        if len(lit) == 1:
            return outputs[0]
        output = weight.new_empty(sum(map(len, outputs)), len(weight))
        for channel, product in zip(lit, outputs, strict=True):
            output.index_copy_(0, channel.rows, product)
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        weight, _, ctx.lit, ctx.rectified = inputs
        ctx.pixels = weight.shape[1]
        if ctx.rectified:
            ctx.save_for_backward(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], weight: Tensor, bias: Tensor, lit: Sequence[Lit], rectified: bool
    ) -> tuple[Tensor, int]:
        """Multiply with all trials' weights at once, concatenated along the outputs."""
        weights = _batch_first(weight, in_dims[0], info.batch_size)
        biases = _batch_first(bias, in_dims[1], info.batch_size)
        outputs: Tensor = _Linear.apply(weights.flatten(0, 1), biases.flatten(), lit, rectified)
        return outputs.unflatten(1, weights.shape[:2]), 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        if ctx.rectified:
            gradient = where_positive(gradient, *ctx.saved_tensors)
        return *_Gradients.apply(gradient, ctx.lit, ctx.pixels), None, None


class _Gradients(torch.autograd.Function):
    """Compute g^T x from the lit pixels, `[outputs, k * pixels]`, and the column sums of g, `[outputs]`."""

    @staticmethod
    def forward(gradient: Tensor, lit: Sequence[Lit], pixels: int) -> tuple[Tensor, Tensor]:
        outputs = gradient.shape[1]
        of_weight, of_bias = gradient.new_zeros(outputs, pixels), gradient.new_zeros(outputs)
        for channel in lit:
            own = gradient if len(lit) == 1 else gradient.index_select(0, channel.rows)
            product = own.mT @ channel.values
            of_weight.index_copy_(1, channel.columns, product[:, :-1])
            of_bias += product[:, -1]
        return of_weight, of_bias

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        _, ctx.lit, _ = inputs

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], gradient: Tensor, lit: Sequence[Lit], pixels: int
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Multiply with all trials' gradients at once, concatenated along the outputs."""
        gradients = _batch_first(gradient, in_dims[0], info.batch_size).transpose(0, 1)
        of_weights, of_biases = _Gradients.apply(gradients.flatten(1), lit, pixels)
        each = gradients.shape[1:]
        return (of_weights.unflatten(0, each), of_biases.unflatten(0, each)), (0, 0)

    @staticmethod
    def backward(ctx: Any, of_weight: Tensor, of_bias: Tensor) -> tuple[Tensor, None, None]:
        return _Linear.apply(of_weight, of_bias, ctx.lit, False), None, None


def _batch_first(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Return the tensor with vmap's batch axis `dim` first; expanded to `size` if it has none (`dim` is None)."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
