"""The contract of a dataset: from a seed to environments, as arrays."""

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
"""One array for each training environment: a list, or where all are equally large one array with an axis more."""


@dataclass(frozen=True)
class Environment:
    """One environment of an evaluation set: which inputs belong to it, under which labels.

    Attributes
    ----------
    index
        `[n]` positions in the set's inputs. Environments may share inputs: nine recolourings of an image
        need only as many forward passes as there are colours.
    labels
        `[n]` class numbers, or a regression's real numbers.
    """

    index: Array
    labels: Array


@dataclass(frozen=True)
class EvaluationSet:
    """Inputs `[m, *features]` and the environments made of them, by name.

    Attributes
    ----------
    paired
        Whether the environments show the same objects under the same labels in the same order, and differ in the
        spurious features only.
    """

    inputs: Array
    environments: Mapping[str, Environment]
    paired: bool = False


@dataclass(frozen=True)
class TrialData:
    """One trial's draw of a dataset.

    Attributes
    ----------
    names
        The training environments, in the order of `inputs` and `labels`.
    inputs, labels
        Of each training environment: `[n, ...]` floats of the shape of `features`, or bytes that `Dataset.prepare`
        turns into them; and `[n]` labels. Environments may differ in n.
    held_out
        Evaluation sets by split: `test`, and `val` where the dataset holds images of the training
        environments back.
    """

    names: Sequence[str]
    inputs: PerEnvironment
    labels: PerEnvironment
    held_out: Mapping[str, EvaluationSet]


class Dataset(Component):
    """What a trial trains and is tested on. Subclass it, and name the subclass in a YAML's `_target_`."""

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
        """Names of the environments by split (`train`, `test`, and `val` if inputs are held back), as `draw` will
        make them: what a table asks for is then checked before anything is trained. None by default: not known yet."""
        return None

    @property
    def channels(self) -> int:
        """Equal parts of flat features of which an image fills one and leaves the others zero (colours): training may
        then skip the zeros. 1 by default: nothing is known to be zero."""
        return 1

    @property
    def loss(self) -> Literal["cross_entropy", "squared"]:
        """What a prediction costs: by default the cross-entropy of a classifier.

        `squared`: a regression, with one output and real labels. Its risk is the mean squared error; it has no
        accuracy, and what chooses by accuracy elsewhere chooses by the lowest risk.
        """
        return "cross_entropy"

    @property
    def stacks(self) -> bool:
        """False where trials of other seeds draw other numbers of inputs, so that they cannot train as one stack."""
        return True

    @abstractmethod
    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Return the data of the trial with this seed: the same bytes at every call, on every machine.

        Raises
        ------
        UserError
            The files are missing or damaged; the message says what to put where.
        """

    def check(self, data_dir: Path) -> None:
        """Find out, before anything runs, whether `draw` can work; reads the sources by default.

        Raises
        ------
        UserError
            As `draw` would.
        """
        self.fingerprint(data_dir)

    @property
    def draws_per_image(self) -> int:
        """How many uniform numbers `prepare` needs for each image of a training batch; none by default."""
        return 0

    @property
    def draws_at_test(self) -> bool:
        """Whether `prepare` needs them in evaluations too."""
        return False

    def prepare(self, images: Tensor, uniforms: Tensor | None, *, training: bool) -> Tensor:
        """Turn a batch of inputs into what the network sees, `[n, *features]`, on their device; as is by default.

        Parameters
        ----------
        images
            `[n, ...]` floats: bytes arrive as 0...1.
        uniforms
            `[n, draws_per_image]` in [0, 1), from the trial's seed; None where none are asked for.
        training
            False in evaluations.
        """
        del uniforms, training
        return images

    @abstractmethod
    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of each source, by name: of the decoded arrays, whatever file held them."""


def distinct(names: Sequence[str]) -> list[str]:
    """Return names of environments, with their numbers in front where two are alike."""
    return list(names) if len(set(names)) == len(names) else [f"{i}:{name}" for i, name in enumerate(names)]


def by_split(train: Sequence[str], test: Sequence[str], n_val: int) -> dict[str, Sequence[str]]:
    """Return what `announced` says of a dataset that holds `n_val` inputs back: `val` has the training names."""
    return {"train": train, "test": test, **({"val": train} if n_val else {})}


def as_float(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scale grey levels 0...255 to [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
