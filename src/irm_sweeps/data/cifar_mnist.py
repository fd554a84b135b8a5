"""CIFAR-MNIST: images of a digit (spurious feature) above a photograph (invariant feature)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from irm_sweeps.config import PerTrial
from irm_sweeps.data.cifar import load_pictures
from irm_sweeps.data.dataset import Array, Dataset, Environment, EvaluationSet, TrialData, by_split, distinct, named
from irm_sweeps.data.mnist import load_official, official_sha256
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Fraction = Annotated[float, Field(ge=0, le=1)]

HEIGHT, WIDTH = 64, 32
"""Size of an image in pixels: a digit padded to 32 x 32 above a photograph of 32 x 32."""

CORRELATIONS = {"2": (0.999, 0.8), "4": (0.999, 0.95, 0.9, 0.8)}
"""Number of training environments -> fraction of digits that equal the label, for each (lin2021 section 4.1)."""


class CIFARMNIST(Dataset):
    """CIFAR-MNIST (lin2021 section 4.1; Shah et al. 2020): two CIFAR-10 classes and the digits 0 and 1.

    An image's label is its photograph's class, flipped with probability `label_noise`. Its digit equals the label in
    exactly the given fraction of the images of each class and environment, rounded down to whole images, so the
    correlation in a small set is lower than its nominal value: 400 held-out images have .99 (2 environments) or .98
    (4) for .999, and .94 for .95, where 9,600 training images have .9988, .9983 and .95. Every environment has
    equally many images of both noisy labels. Each photograph and each digit is used at most once.

    Where lin2021's text and released code differ, the YAML follows the text, and `protocol=released` the code.
    """

    envs: Literal[2, 4]
    """Number of training environments."""
    correlations: Annotated[tuple[Fraction, ...], PerTrial()]
    """Fraction of digits that equal the label, per training environment, rounded down to whole images of each class.
    Null or left out: lin2021's values for `envs`."""
    test_correlation: Fraction
    """Fraction of digits that equal the label in the test environment."""
    label_noise: Annotated[float, PerTrial(), Field(ge=0, le=1)]
    """Probability that a label is flipped, before the images are divided into environments; applies to the test too."""
    n_train: Annotated[int, Field(ge=1)]
    """Number of training images of all environments together."""
    n_val: Annotated[int, Field(ge=0)]
    """Number of held-out images of all training environments together. lin2021 has none. After label noise about
    10,100 images are available for `n_train` and `n_val` together."""
    n_test: Annotated[int, Field(ge=2)]
    """Number of test images."""
    cifar_classes: tuple[Annotated[int, Field(ge=0, le=9)], Annotated[int, Field(ge=0, le=9)]]
    """The classes with labels 0 and 1: automobile 1, bird 2 in the text; 1 and truck 9 in the released code."""
    order: Literal["official", "shuffled"]
    """Order in which images are used. `official`: the official training images first, for the training environments,
    so that the test environment has the official test images (released code). `shuffled`: an order drawn from the
    trial's seed."""
    oracle: bool
    """Whether blank blocks replace the digits of training images: ERM(Oracle)."""
    blank: Literal["black", "white"]
    """Colour of the oracle's blocks: `white` in the released code; the text says only blank."""
    blank_at_test: bool
    """Whether the oracle's test images have blank blocks too. They do in the released code, which replaces MNIST's
    training digits only, but takes the digits of all environments, test included, from these."""
    resolution: Literal["native"] | Annotated[int, Field(ge=32)]
    """Size of the network's input in pixels: `native` is 64 x 32; a number N is N x N (224 in lin2021)."""
    crop: Literal["none", "random", "centre"]
    """`random`: RandomResizedCrop in training, the whole image in tests. `centre`: the central 43 x 32 of the 64 x 32
    pixels, in training and tests, the only crop that the released transform can give. `none`: the whole image."""
    crop_scale: tuple[Fraction, Fraction]
    """Range of a random crop's area, as a fraction of the image's."""
    crop_ratio: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    """Range of a random crop's width over height."""
    flip: Literal["never", "train", "always"]
    """When images are mirrored with probability 1/2: `train` in training only, `always` in tests too (released)."""

    @model_validator(mode="before")
    @classmethod
    def _fill_correlations(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("correlations") is None:
            # For an invalid `envs` the only error should be the one about `envs`.
            return {**values, "correlations": CORRELATIONS.get(str(values.get("envs")), ())}
        return values

    @model_validator(mode="after")
    def _check_consistency(self) -> CIFARMNIST:
        if len(self.correlations) != self.envs:
            raise ValueError(f"correlations has {len(self.correlations)} values for envs={self.envs}")
        for name in ("n_train", "n_val"):
            if getattr(self, name) % self.envs:
                raise ValueError(f"{name}={getattr(self, name)} cannot be shared by {self.envs} environments")
        if self.cifar_classes[0] == self.cifar_classes[1]:
            raise ValueError(f"cifar_classes={list(self.cifar_classes)} names one class twice")
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}={[low, high]} must be two numbers above 0, the smaller first")
        return self

    @property
    def outputs(self) -> int:
        """One logit."""
        return 1

    @property
    def features(self) -> tuple[int, ...]:
        """Shape of the network's input: channels, height, width."""
        return (3, *self._size)

    @property
    def _size(self) -> tuple[int, int]:
        return (HEIGHT, WIDTH) if self.resolution == "native" else (self.resolution, self.resolution)

    @property
    def shifted(self) -> str:
        """The only test environment."""
        return f"{self.test_correlation:g}"

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        return by_split(distinct(named(self.correlations)), [self.shifted], self.n_val)

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of the photographs of the two classes and of MNIST."""
        data_dir = data_dir.expanduser().resolve()
        return {
            f"cifar10:{','.join(map(str, self.cifar_classes))}": load_pictures(data_dir, self.cifar_classes).sha256,
            "mnist:official": official_sha256(data_dir),
        }

    def check(self, data_dir: Path) -> None:
        """Read the sources and check that they have enough images, label noise not counted."""
        data_dir = data_dir.expanduser().resolve()
        pictures = load_pictures(data_dir, self.cifar_classes)
        load_official(data_dir)
        needed = self.n_train + self.n_val + self.n_test
        available = len(pictures.train_classes) + len(pictures.test_classes)
        if needed > available:
            raise UserError(
                f"dataset.n_train={self.n_train} + n_val={self.n_val} + n_test={self.n_test} = {needed} images, but "
                f"classes {list(self.cifar_classes)} of CIFAR-10 have {available}"
            )

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Relabel the photographs and pair them with digits; inputs are uint8 `[environments, n, 3, 64, 32]`.

        Raises
        ------
        UserError
            Label noise or the sources leave too few images of a class, or a source cannot be read.
        """
        data_dir, draws = data_dir.expanduser().resolve(), Draws(seed)
        piles = _Piles(*self._pools(data_dir, draws))
        names = self.announced["train"]

        # The released code uses images in this order: training environments, then validation, then test.
        train, val = (
            [
                self._environment(piles, n, e, draws.permutation(f"{split}/{e}", n // self.envs))
                for e in range(self.envs)
                if n
            ]
            for split, n in (("train", self.n_train), ("val", self.n_val))
        )
        x, y, digit = piles.take(self.n_test, self.test_correlation)
        has_digits = not (self.oracle and self.blank_at_test)
        test = EvaluationSet(
            self._paint(x, digit if has_digits else None), {self.shifted: Environment(np.arange(len(y)), y)}
        )
        held_out = {"test": test}
        if val:
            n = self.n_val // self.envs
            held_out["val"] = EvaluationSet(
                np.concatenate([images for images, _ in val]),
                {name: Environment(np.arange(n) + e * n, val[e][1]) for e, name in enumerate(names)},
            )
        return TrialData(
            names, np.stack([images for images, _ in train]), np.stack([labels for _, labels in train]), held_out
        )

    def _environment(self, piles: _Piles, n: int, e: int, order: Array) -> tuple[Array, Array]:
        """Return images and labels of training environment `e`, its share of `n`, in the given order."""
        x, y, digit = piles.take(n // self.envs, self.correlations[e])
        return self._paint(x, None if self.oracle else digit)[order], y[order]

    def _pools(self, data_dir: Path, draws: Draws) -> tuple[list[Array], list[Array]]:
        """Return the photographs by noisy label, `[n, 32, 32, 3]`, and the digits 0 and 1, `[n, 28, 28]`."""
        pictures = load_pictures(data_dir, self.cifar_classes)
        # The official training images of both classes come before any official test image.
        parts, labels = [], []
        for images, classes in (
            (pictures.train_images, pictures.train_classes),
            (pictures.test_images, pictures.test_classes),
        ):
            for label, number in enumerate(self.cifar_classes):
                of_class = images[classes == number]
                parts.append(of_class)
                labels.append(np.full(len(of_class), label))
        photographs, clean = np.concatenate(parts), np.concatenate(labels)
        noisy = clean ^ (draws.uniform("labels", len(clean)) < self.label_noise)
        official = np.concatenate([np.zeros(len(p)) + (i >= 2) for i, p in enumerate(parts)])
        # Within each official split both classes are shuffled together, since both are in each noisy label's pile.
        rank = draws.uniform("order", len(clean)) + (official if self.order == "official" else 0)
        order = np.argsort(rank, kind="stable")
        train_images, train_digits, test_images, test_digits = load_official(data_dir)
        digits = [np.concatenate([train_images[train_digits == d], test_images[test_digits == d]]) for d in (0, 1)]
        if self.order == "shuffled":
            digits = [d[draws.permutation(f"digits/{i}", len(d))] for i, d in enumerate(digits)]
        return [photographs[order[noisy[order] == value]] for value in (0, 1)], digits

    def _paint(self, photographs: Array, digits: Array | None) -> Array:
        """Return uint8 `[n, 3, 64, 32]`: the digit, or a blank block, above the photograph."""
        n = len(photographs)
        painted = np.empty((n, 3, HEIGHT, WIDTH), np.uint8)
        painted[:, :, 32:] = photographs.transpose(0, 3, 1, 2)
        if digits is None:
            painted[:, :, :32] = 255 if self.blank == "white" else 0
        else:
            painted[:, :, :32] = np.pad(digits, ((0, 0), (2, 2), (2, 2)))[:, None]
        return painted

    @property
    def draws_per_image(self) -> int:
        """Number of uniform draws for a crop and a flip."""
        from irm_sweeps.data.augmentation import DRAWS

        return 0 if self.crop != "random" and self.flip == "never" else DRAWS + 1

    @property
    def draws_at_test(self) -> bool:
        """Whether images are mirrored in tests too."""
        return self.flip == "always"

    def prepare(self, images: Tensor, uniforms: Tensor | None, *, training: bool) -> Tensor:
        """Crop, mirror, resize and normalise `[n, 3, 64, 32]` bytes to `[n, *features]`."""
        from irm_sweeps.data import augmentation as a

        flip = None
        if uniforms is not None and (self.flip == "always" or (training and self.flip == "train")):
            flip = uniforms[:, -1] < 0.5
        if self.crop == "random" and training:
            assert uniforms is not None
            boxes = a.random_boxes(uniforms[:, : a.DRAWS], (HEIGHT, WIDTH), self.crop_scale, self.crop_ratio)
            return a.normalize(a.crop_and_resize(images, boxes, self._size, flip))
        if self.crop == "centre":
            top, left, height, width = a.centre_box((HEIGHT, WIDTH), a.TORCHVISION_RATIO)
            images = images[:, :, top : top + height, left : left + width]
        if flip is not None:
            images = images.where(~flip[:, None, None, None], images.flip(-1))
        return a.normalize(a.resize(images, self._size))


class _Piles:
    """Piles of photographs by noisy label and of digits by digit, from which each image is taken once, in order."""

    def __init__(self, photographs: list[Array], digits: list[Array]) -> None:
        self._photographs, self._digits = photographs, digits
        self._used = {"photographs": [0, 0], "digits": [0, 0]}

    def take(self, n: int, correlation: float) -> tuple[Array, Array, Array]:
        """Return n photographs, labels and digits: half of each label, `int(half * correlation)` digits equal to it."""
        photographs: list[Array] = []
        labels: list[Array] = []
        digits: list[Array] = []
        for label, count in ((0, n - n // 2), (1, n // 2)):
            agreeing = int(count * correlation)
            photographs.append(self._next("photographs", label, count))
            digits += [self._next("digits", label, agreeing), self._next("digits", 1 - label, count - agreeing)]
            labels.append(np.full(count, label))
        return np.concatenate(photographs), np.concatenate(labels), np.concatenate(digits)

    def _next(self, kind: str, which: int, count: int) -> Array:
        """Take the next `count` images of a pile; raise a UserError if there are too few."""
        pile = (self._photographs if kind == "photographs" else self._digits)[which]
        start = self._used[kind][which]
        if start + count > len(pile):
            what = f"photographs with (noisy) label {which}" if kind == "photographs" else f"digits {which}"
            raise UserError(
                f"dataset=cifar_mnist: {start + count} {what} are needed and {len(pile)} there are: "
                "lower dataset.n_train, n_val or n_test, or take another seed (label noise moves the count)"
            )
        self._used[kind][which] = start + count
        return pile[start : start + count]
