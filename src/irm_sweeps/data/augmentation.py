"""Crop, flip, resize and normalise a whole minibatch at once, on the device of the images.

These functions replace torchvision's per-image transforms (`RandomResizedCrop`, `RandomHorizontalFlip`, `Resize`,
`Normalize`) by a few tensor operations. The caller passes the random numbers, so the same numbers give the same crops
on every device. Unlike in a pipeline of PIL images, intermediate values are not rounded to 256 grey levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation per channel of images in [0, 1], with which torchvision's weights were trained."""

TORCHVISION_RATIO = (3 / 4, 4 / 3)
"""torchvision's default bounds of width over height in `RandomResizedCrop`."""

TRIES = 10
"""Number of crops that torchvision tries before it falls back to the largest one in the centre."""

DRAWS = 2 * TRIES + 2
"""Number of uniform draws that `random_boxes` needs per image."""


@dataclass(frozen=True)
class Boxes:
    """One crop per image, in pixels: `[n]` integer tensors top, left, height, width."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def random_boxes(
    uniforms: Tensor, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> Boxes:
    """Return random crops with the distribution of torchvision's `RandomResizedCrop`.

    The area (as a fraction of the image's, within `scale`) and the log of width over height (within `ratio`) are
    uniform. The first of `TRIES` draws that fits into the image is taken, at a uniform position; if none fits,
    `centre_box`.

    Parameters
    ----------
    uniforms
        `[n, DRAWS]` in [0, 1).
    size
        Height and width of the images, in pixels.
    """
    height, width = size
    area_draws, ratio_draws, position_draws = (
        uniforms[:, :TRIES],
        uniforms[:, TRIES : 2 * TRIES],
        uniforms[:, 2 * TRIES :],
    )
    area = height * width * (scale[0] + (scale[1] - scale[0]) * area_draws)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (low + (high - low) * ratio_draws).exp()
    w, h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    any_fits = fits.any(1)
    fallback = centre_box(size, ratio)
    w = torch.where(any_fits, w.gather(1, first).squeeze(1), fallback[3])
    h = torch.where(any_fits, h.gather(1, first).squeeze(1), fallback[2])
    top = torch.where(any_fits, (position_draws[:, 0] * (height - h + 1)).floor(), fallback[0])
    left = torch.where(any_fits, (position_draws[:, 1] * (width - w + 1)).floor(), fallback[1])
    return Boxes(top, left, h, w)


def centre_box(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the largest centred crop whose width over height is within `ratio`."""
    height, width = size
    image_ratio = width / height
    if image_ratio < ratio[0]:
        h, w = round(width / ratio[0]), width
    elif image_ratio > ratio[1]:
        h, w = height, round(height * ratio[1])
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


def crop_and_resize(images: Tensor, boxes: Boxes, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """Return each image's crop, mirrored where `flip` is True, resized bilinearly to `size` (height, width).

    Equal to torchvision's `resized_crop` with bilinear interpolation if the crop is not larger than `size`, where
    antialiasing has no effect. Pixels outside a crop do not affect it.

    Parameters
    ----------
    images
        `[n, channels, height, width]` floats.
    flip
        `[n]` booleans; None for no flip.
    """
    height, width = images.shape[-2:]
    rows = _sources(boxes.top, boxes.height, size[0])
    columns = _sources(boxes.left, boxes.width, size[1])
    if flip is not None:
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    # grid_sample's coordinates: -1 and 1 are the outer edges of the image.
    y, x = (2 * rows + 1) / height - 1, (2 * columns + 1) / width - 1
    n = len(images)
    grid = torch.stack([x[:, None, :].expand(n, *size), y[:, :, None].expand(n, *size)], dim=-1)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=False)


def _sources(start: Tensor, length: Tensor, n: int) -> Tensor:
    """Return the source coordinates of n target pixels, `[images, n]`, clamped to the crop."""
    start, length = start.to(torch.float64)[:, None], length.to(torch.float64)[:, None]
    target = torch.arange(n, device=start.device, dtype=torch.float64) + 0.5
    inside = (target * length / n - 0.5).clamp(min=0.0)
    return start + torch.minimum(inside, length - 1)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images bilinearly, with antialiasing where they shrink, as torchvision's `Resize` does."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def normalize(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation, channel by channel."""
    mean, std = (_per_channel(values, images) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


def _per_channel(values: Sequence[float], images: Tensor) -> Tensor:
    """Return `[channels, 1, 1]`; filled on the device, because copying a list there would make the host wait."""
    return torch.stack([images.new_full((1, 1), value) for value in values])
