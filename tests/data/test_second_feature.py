"""Colored MNIST's patch (bae2021 Section 4.4) and noise gap (Section 4.3)."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from drawn_data import binomial, colored_mnist

NOWHERE = Path("no_data_is_read")

CORNERS = {14: ((slice(0, 3), slice(0, 3)), (slice(12, 14), slice(12, 14)))}
CORNERS[28] = ((slice(0, 2), slice(0, 2)), (slice(13, 14), slice(13, 14)))
"""Where the patch of each id is seen, by the resolution it is drawn on."""


def images(inputs: np.ndarray, channels: int = 2) -> np.ndarray:
    return inputs.reshape(-1, channels, 14, 14)


def seen(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour and patch id `[n]` of plain patches, read off the images: digits leave the corners black."""
    own = images(inputs)
    top, bottom = own[:, :, 0, 0].max(1), own[:, :, 13, 13].max(1)
    assert set(np.unique(top + bottom)) == {1.0}, "one corner is lit"
    ink = own.copy()
    ink[:, :, :3, :3] = ink[:, :, -2:, -2:] = 0
    lit = ink.any((2, 3))
    assert (lit.sum(1) == 1).all()
    return lit.argmax(1), (bottom == 1).astype(int)


@pytest.mark.parametrize(("resolution", "channel", "own"), list(product([14, 28], ["colour", "every"], [0, 1])))
def test_where_a_patch_is(resolution: int, channel: str, own: int) -> None:
    """The corner has the patch's grey level in its channels, and all else is the image without it."""
    drawn = {"patch_resolution": resolution, "patch_channel": channel, "patch_intensity": 0.6, "n_train": 80}
    data = colored_mnist(patch="plain", patch_p_e=(0, 1), label_noise=(0, 0), p_e=(0, 0), **drawn).draw(0, NOWHERE)
    bare = colored_mnist(label_noise=(0, 0), p_e=(0, 0), n_train=80).draw(0, NOWHERE)
    assert np.array_equal(data.labels, bare.labels)
    for e in (0, 1):  # the patch is the label in environment 0, the other one in environment 1
        of_this_id = (data.labels[e] + e) % 2 == own
        assert 20 < of_this_id.sum() < 60
        got, label = images(data.inputs[e])[of_this_id], data.labels[e][of_this_id]
        expected = images(bare.inputs[e])[of_this_id].copy()
        rows, columns = CORNERS[resolution][own]
        for image, colour in zip(expected, label, strict=True):
            image[slice(None) if channel == "every" else colour, rows, columns] = np.float32(0.6)
        assert np.array_equal(got, expected)


def test_a_patch_of_noise_is_the_digits_own() -> None:
    """Grey levels uniform below the intensity, the same in every painting of a digit, different between digits."""
    dataset = colored_mnist(patch="noise", patch_intensity=0.5, test_p_e=(0.0, 1.0))
    test = dataset.draw(3, NOWHERE).held_out["test"]
    paintings = images(test.inputs).reshape(4, 1000, 2, 14, 14)
    label = test.environments["0"].labels
    patches = paintings.max(2)
    top = np.where(label[:, None, None] == 0, patches[0, :, :3, :3], patches[2, :, :3, :3])
    assert np.array_equal(top, np.where(label[:, None, None] == 0, patches[1, :, :3, :3], patches[3, :, :3, :3]))
    assert top.max() < 0.5
    assert top.std() == pytest.approx(0.5 / 12**0.5, rel=0.03)
    assert top.mean() == pytest.approx(0.25, rel=0.03)
    assert len(np.unique(top[:, 0, 0])) > 950


def test_patch_and_colour_are_independent_given_the_label() -> None:
    p_e, patch_p_e = (0.1, 0.2), (0.2, 0.1)
    data = colored_mnist(patch="plain", p_e=p_e, patch_p_e=patch_p_e).draw(5, NOWHERE)
    n = data.labels.shape[1]
    for e in (0, 1):
        colour, patch = seen(data.inputs[e])
        colour_moved, patch_moved = colour != data.labels[e], patch != data.labels[e]
        assert binomial(colour_moved.sum(), n, p_e[e])
        assert binomial(patch_moved.sum(), n, patch_p_e[e])
        assert binomial((colour_moved & patch_moved).sum(), n, p_e[e] * patch_p_e[e])


def test_the_patch_changes_neither_labels_nor_colours() -> None:
    with_patch = colored_mnist(patch="plain", n_val=50).draw(1, NOWHERE)
    bare = colored_mnist(n_val=50).draw(1, NOWHERE)
    assert np.array_equal(with_patch.labels, bare.labels)
    difference = images(with_patch.inputs.reshape(-1, 392)) != images(bare.inputs.reshape(-1, 392))
    assert not difference[:, :, 3:, :12].any()
    assert not difference[:, :, :12, 3:].any()


def test_every_test_digit_has_four_paintings() -> None:
    """An environment of p_e has colour and patch moved with that probability each, of the same digits."""
    test = colored_mnist(patch="plain", test_p_e=(0.0, 0.1, 0.9, 1.0)).draw(2, NOWHERE).held_out["test"]
    assert test.paired
    assert len(test.inputs) == 4 * 1000
    digits = []
    for name, environment in test.environments.items():
        assert np.array_equal(environment.index % 1000, np.arange(1000))
        colour, patch = seen(test.inputs[environment.index])
        colour_moved, patch_moved = colour != environment.labels, patch != environment.labels
        p = float(name)
        assert binomial(colour_moved.sum(), 1000, p)
        assert binomial(patch_moved.sum(), 1000, p)
        assert binomial((colour_moved & patch_moved).sum(), 1000, p * p)
        ink = images(test.inputs[environment.index]).sum(1)
        ink[:, :3, :3] = ink[:, -2:, -2:] = 0
        digits.append(ink)
    assert all(np.array_equal(ink, digits[0]) for ink in digits)


def test_grey_patches() -> None:
    """In grayscale only the patch is left to follow: two paintings of a digit."""
    data = colored_mnist(patch="plain", grayscale=True, patch_p_e=(0, 0), test_p_e=(0.0, 1.0)).draw(0, NOWHERE)
    own = images(data.inputs[0], 1)
    assert np.array_equal(own[:, 0, 0, 0] == 0, data.labels[0] == 1)
    assert np.array_equal(own[:, 0, 13, 13] == 1, data.labels[0] == 1)
    test = data.held_out["test"]
    assert test.inputs.shape == (2000, 196)
    for name, moved in (("0", 0), ("1", 1)):
        environment = test.environments[name]
        corner = images(test.inputs[environment.index], 1)[:, 0, 13, 13]
        assert np.array_equal(corner == 1, environment.labels != moved)


# The gap of label noise.


@pytest.mark.parametrize(
    ("changes", "noise"),
    [
        ({}, (0.25, 0.25)),
        ({"noise_gap": 0.04}, (0.23, 0.27)),
        ({"noise_gap": 0.04, "noisier": "high_p_e"}, (0.27, 0.23)),
        ({"noise_gap": 0.04, "p_e": (0.1, 0.2)}, (0.27, 0.23)),
        ({"noise_gap": 0.2, "p_e": (0.3, 0.1, 0.2), "label_noise": (0.2, 0.2, 0.3)}, (0.1, 0.3, 0.3)),
    ],
)
def test_noise_of_the_environments(changes: dict[str, object], noise: tuple[float, ...]) -> None:
    assert colored_mnist(**changes).noise == pytest.approx(noise)


def test_the_gap_is_that_of_the_rates() -> None:
    """The same trial as with the rates written out, and the test environments have no gap."""
    gap = colored_mnist(noise_gap=0.5).draw(3, NOWHERE)
    rates = colored_mnist(label_noise=(0.0, 0.5)).draw(3, NOWHERE)
    none = colored_mnist().draw(3, NOWHERE)
    assert np.array_equal(gap.labels, rates.labels)
    assert np.array_equal(gap.inputs, rates.inputs)
    assert np.array_equal(gap.held_out["test"].inputs, none.held_out["test"].inputs)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"noise_gap": 0.6}, "not in"),
        ({"noise_gap": 0.1, "p_e": (0.1, 0.1)}, "equal ones"),
        ({"patch": "plain", "classes": 5}, "needs classes=2"),
        ({"patch": "plain", "p_e": (0.1, 0.2, 0.3), "label_noise": (0.25,) * 3}, "one each per environment"),
        ({"patch": "plain", "patch_p_e": (0.1, 1.2)}, "patch_p_e"),
        ({"patch_intensity": 0}, "patch_intensity"),
        ({"patch_resolution": 7}, "patch_resolution"),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        colored_mnist(**changes)
