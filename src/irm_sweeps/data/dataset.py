"""The contract of a dataset, which draws environments from a seed, and the arrays that it returns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from irm_sweeps.config import Component

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
PerEnvironment = Array | Sequence[Array]
"""One array per training environment: a list, or one array with a leading axis if all have the same size."""


@dataclass(frozen=True)
class Environment:
    """One environment of an evaluation set: the positions of its inputs, and their labels.

    Attributes
    ----------
    index
        `[n]` positions in the set's inputs. Environments may share inputs, which are evaluated once: nine recolourings
        of an image need one forward pass per colour.
    labels
        `[n]` class numbers; real numbers in a regression.
    """

    index: Array
    labels: Array


@dataclass(frozen=True)
class EvaluationSet:
    """The evaluation inputs of a split, `[m, *features]`, and the environments that consist of them, by name.

    Attributes
    ----------
    paired
        Whether all environments hold the same objects with the same labels in the same order, and differ in the
        spurious features only.
    """

    inputs: Array
    environments: Mapping[str, Environment]
    paired: bool = False


@dataclass(frozen=True)
class TrialData:
    """The data that a dataset draws for one trial.

    Attributes
    ----------
    names
        Names of the training environments, in the order of `inputs` and `labels`.
    inputs, labels
        Per training environment: `[n, ...]` floats of shape `features`, or values that `Dataset.prepare` converts to
        that shape (bytes, for example); and `[n]` labels. Environments may differ in n.
    side
        Per training environment: side information z of its images, numbers `[n, k]`, for a method that infers
        environments from it (`Batch.side`); None: there is none.
    held_out
        Evaluation sets by split: `test`, and `val` if the dataset holds back images of the training environments.
    """

    names: Sequence[str]
    inputs: PerEnvironment
    labels: PerEnvironment
    held_out: Mapping[str, EvaluationSet]
    side: PerEnvironment | None = None


class Dataset(Component):
    """Base class of datasets. Subclass it, and name the subclass in a YAML's `_target_`."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Width of the classifier head: 1 for a binary label (one logit), else the number of classes."""

    @property
    @abstractmethod
    def features(self) -> tuple[int, ...]:
        """Shape of one input."""

    @property
    @abstractmethod
    def shifted(self) -> str:
        """Name of the test environment whose spurious correlation is reversed."""

    @property
    def announced(self) -> Mapping[str, Sequence[str]] | None:
        """Names of the environments that `draw` returns, by split (`train`, `test`, and `val` if inputs are held back).

        A paper file's environments are checked against them before anything is trained. None, the default: not known
        before `draw`.
        """
        return None

    @property
    def channels(self) -> int:
        """Number of equal parts (colour channels) of flat features of which each image is non-zero in at most one.

        Training may then skip the zeros. 1, the default: no part is known to be zero.
        """
        return 1

    @property
    def side_columns(self) -> int | None:
        """Number of columns of the side information that `draw` returns; 0: there is none.

        A sweep of a method that needs it is refused where it is 0. None, the default: not known before `draw`.
        """
        return None

    @property
    def loss(self) -> Literal["cross_entropy", "squared"]:
        """The loss of a prediction: `cross_entropy`, the default, for a classifier, or `squared` for a regression.

        A regression has one output and real labels. Its risk is the mean squared error; it has no accuracy, and
        selection rules that choose by accuracy choose by the lowest risk instead.
        """
        return "cross_entropy"

    @property
    def is_regression(self) -> bool:
        """Whether the loss is `squared`."""
        return self.loss == "squared"

    @property
    def stacks(self) -> bool:
        """Whether trials with different seeds can train as one stack: False if their numbers of inputs differ."""
        return True

    @abstractmethod
    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Return the data of the trial with this seed, with the same bytes at every call and on every machine.

        Raises
        ------
        UserError
            Files are missing or damaged; the message says which file to put where.
        """

    def check(self, data_dir: Path) -> None:
        """Check, before anything runs, that `draw` can succeed; reads the sources by default.

        Raises
        ------
        UserError
            As `draw` would.
        """
        self.fingerprint(data_dir)

    @property
    def draws_per_image(self) -> int:
        """Number of uniform draws that `prepare` needs for each image of a training batch; 0 by default."""
        return 0

    @property
    def draws_at_test(self) -> bool:
        """Whether `prepare` needs `draws_per_image` draws in evaluations too."""
        return False

    def prepare(self, images: Tensor, uniforms: Tensor | None, *, training: bool) -> Tensor:
        """Return the network's inputs `[n, *features]` for drawn inputs, on the same device; unchanged by default.

        Parameters
        ----------
        images
            `[n, ...]` floats; bytes have been scaled to [0, 1].
        uniforms
            `[n, draws_per_image]` in [0, 1), from the trial's seed; None if no draws are needed.
        training
            True for training batches, False in evaluations.
        """
        del uniforms, training
        return images

    @abstractmethod
    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of each source by name, computed from the decoded arrays, not from the files."""


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names of environments, prefixed with their numbers if two names are equal."""
    return list(names) if len(set(names)) == len(names) else [f"{i}:{name}" for i, name in enumerate(names)]


def named(values: Sequence[float]) -> list[str]:
    """Return the names of environments that differ in a number."""
    return [f"{value:g}" for value in values]


def check_named_once(key: str, values: Sequence[float]) -> None:
    """Raise a ValueError if two of the environments that a field lists have one name."""
    if len(set(named(values))) != len(values):
        raise ValueError(f"{key}={list(values)} names an environment twice")


def by_split(train: Sequence[str], test: Sequence[str], n_val: int) -> dict[str, Sequence[str]]:
    """Return `Dataset.announced` for a dataset that holds back `n_val` inputs; `val` has the training names."""
    return {"train": train, "test": test, **({"val": train} if n_val else {})}


def as_float(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scale grey levels 0...255 to [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
