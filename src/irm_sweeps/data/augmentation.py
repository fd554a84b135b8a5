"""Crops, flips and resizing of a whole minibatch at once, on the device where the images are.

What torchvision does image by image (`RandomResizedCrop`, `RandomHorizontalFlip`, `Resize`, `Normalize`) as a
few tensor operations. The random numbers are given, not drawn: the same numbers give the same crops anywhere.
Unlike a pipeline over PIL images nothing is rounded to 256 grey levels on the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Per channel, of images in [0, 1]: what torchvision's weights were trained with."""

TORCHVISION_RATIO = (3 / 4, 4 / 3)
"""`RandomResizedCrop`'s own bounds of width over height."""

TRIES = 10
"""How often torchvision draws a crop before it takes the largest one in the centre."""

DRAWS = 2 * TRIES + 2
"""Uniform numbers that `random_boxes` needs per image."""


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
    """Return the crops that torchvision's `RandomResizedCrop` would draw.

    Area (a fraction of the image's in `scale`) and log of width over height (within `ratio`) are uniform; the
    first of `TRIES` draws that fits the image counts, and its place is uniform. If none fits: `centre_box`.

    Parameters
    ----------
    uniforms
        `[n, DRAWS]` in [0, 1).
    size
        Height and width of the images.
    """
    height, width = size
    areas, logs, place = uniforms[:, :TRIES], uniforms[:, TRIES : 2 * TRIES], uniforms[:, 2 * TRIES :]
    area = height * width * (scale[0] + (scale[1] - scale[0]) * areas)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (low + (high - low) * logs).exp()
    w, h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    some = fits.any(1)
    fallback = centre_box(size, ratio)
    w = torch.where(some, w.gather(1, first).squeeze(1), fallback[3])
    h = torch.where(some, h.gather(1, first).squeeze(1), fallback[2])
    top = torch.where(some, (place[:, 0] * (height - h + 1)).floor(), fallback[0])
    left = torch.where(some, (place[:, 1] * (width - w + 1)).floor(), fallback[1])
    return Boxes(top, left, h, w)


def centre_box(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the largest centred crop whose width over height is within `ratio`."""
    height, width = size
    own = width / height
    if own < ratio[0]:
        h, w = round(width / ratio[0]), width
    elif own > ratio[1]:
        h, w = height, round(height * ratio[1])
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


def crop_and_resize(images: Tensor, boxes: Boxes, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """Return each image's crop, mirrored where `flip`, resized bilinearly to `size` (height, width).

    Equal to torchvision's `resized_crop` with bilinear interpolation wherever the crop is not larger than
    `size` (there antialiasing does nothing): pixels outside a crop do not bleed into it.

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
    """Return the source coordinate of each of n target pixels, `[images, n]`, kept inside the crop."""
    start, length = start.to(torch.float64)[:, None], length.to(torch.float64)[:, None]
    target = torch.arange(n, device=start.device, dtype=torch.float64) + 0.5
    inside = (target * length / n - 0.5).clamp(min=0.0)
    return start + torch.minimum(inside, length - 1)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return whole images resized bilinearly, antialiased where they shrink, as torchvision's `Resize` does."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def normalize(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation, channel by channel."""
    mean, std = (_per_channel(values, images) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


def _per_channel(values: Sequence[float], images: Tensor) -> Tensor:
    """Return `[channels, 1, 1]`, filled on the device: to copy a list there the host would wait for it."""
    return torch.stack([images.new_full((1, 1), value) for value in values])
