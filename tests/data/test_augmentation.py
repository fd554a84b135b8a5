"""Batched crops, flips and resizing, against torchvision's on single images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.functional import resize as torchvision_resize
from torchvision.transforms.functional import resized_crop

from irm_sweeps.data.augmentation import (
    DRAWS,
    TORCHVISION_RATIO,
    centre_box,
    crop_and_resize,
    normalize,
    random_boxes,
    resize,
)


def uniforms(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, DRAWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(64, 32), (224, 224), (70, 45)])
def test_crops_equal_torchvision_s(size: tuple[int, int]) -> None:
    images = torch.rand(40, 3, 64, 32, dtype=torch.float64)
    boxes = random_boxes(uniforms(40), (64, 32), (0.3, 1.0), (0.3, 0.9))
    flip = torch.arange(40) % 3 == 0
    found = crop_and_resize(images, boxes, size, flip)
    for i in range(40):
        box = [int(side[i]) for side in (boxes.top, boxes.left, boxes.height, boxes.width)]
        expected = resized_crop(images[i], *box, list(size), antialias=True)
        expected = expected.flip(-1) if flip[i] else expected
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


def test_boxes_are_distributed_as_torchvision_s() -> None:
    """Means and quantiles of 20,000 crops of a square image, where some draws do not fit."""
    boxes = random_boxes(uniforms(20_000), (40, 40), (0.5, 1.0), (0.5, 2.0))
    torch.manual_seed(0)
    image = torch.zeros(1, 40, 40)
    crop = v2.RandomResizedCrop(8, scale=(0.5, 1.0), ratio=(0.5, 2.0))
    drawn = [crop.make_params([image]) for _ in range(20_000)]
    for name in ("top", "left", "height", "width"):
        ours = getattr(boxes, name).numpy()
        theirs = np.array([d[name] for d in drawn])
        assert ours.mean() == pytest.approx(theirs.mean(), abs=0.12)
        np.testing.assert_allclose(np.quantile(ours, [0.1, 0.5, 0.9]), np.quantile(theirs, [0.1, 0.5, 0.9]), atol=1)


def test_a_tall_image_has_one_crop_only() -> None:
    """lin2021's released transform: no crop of 64 x 32 pixels has the area and the ratio it asks for."""
    assert centre_box((64, 32), TORCHVISION_RATIO) == (10, 0, 43, 32)
    boxes = random_boxes(uniforms(5_000), (64, 32), (0.7, 1.0), TORCHVISION_RATIO)
    for side, value in zip((boxes.top, boxes.left, boxes.height, boxes.width), (10, 0, 43, 32), strict=True):
        assert (side == value).all()
    torch.manual_seed(0)
    params = v2.RandomResizedCrop(224, scale=(0.7, 1.0)).make_params([torch.zeros(3, 64, 32)])
    assert (params["top"], params["left"], params["height"], params["width"]) == (10, 0, 43, 32)
    assert centre_box((32, 64), TORCHVISION_RATIO) == (0, 10, 32, 43)
    assert centre_box((32, 32), TORCHVISION_RATIO) == (0, 0, 32, 32)


def test_boxes_stay_inside_and_keep_their_bounds() -> None:
    boxes = random_boxes(uniforms(5_000, 1), (64, 32), (0.7, 1.0), (0.375, 2 / 3))
    assert (boxes.top >= 0).all()
    assert (boxes.left >= 0).all()
    assert (boxes.top + boxes.height <= 64).all()
    assert (boxes.left + boxes.width <= 32).all()
    area = boxes.height * boxes.width / (64 * 32)
    assert area.min() > 0.66
    ratio = (boxes.width / boxes.height).log()
    assert ratio.min() > math.log(0.375) - 0.05
    assert ratio.max() < math.log(2 / 3) + 0.05
    assert area.std() > 0.05, "and they are not all one"


def test_resize_and_normalize_equal_torchvision_s() -> None:
    images = torch.rand(4, 3, 64, 32, dtype=torch.float64)
    for size in ((224, 224), (32, 32), (64, 32)):
        torch.testing.assert_close(resize(images, size), torchvision_resize(images, list(size), antialias=True))
    theirs = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(normalize(images), theirs(images))
