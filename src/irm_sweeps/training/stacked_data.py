"""Hold the data of a stack of trials on the device, and serve its training batches and evaluation inputs.

Images are stored as the dataset gives them, as bytes where it gives bytes. `Dataset.prepare` crops, resizes and
normalises one batch at a time on the device. So CIFAR-MNIST's 11,800 images of 3 x 64 x 32 bytes take 73 MB whatever
resolution the network sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irm_sweeps.data.dataset import Array, PerEnvironment, TrialData
from irm_sweeps.data.drawn import checked_draw
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError
from irm_sweeps.training.batches import Counts, Minibatches, PooledMinibatches, counts_if_unequal, rows_of
from irm_sweeps.training.evaluation import StackedSet
from irm_sweeps.training.lit_channels import LitChannels
from irm_sweeps.trial import Trial

ROWS = 10_000
"""Maximum number of inputs per trial in one forward pass of an evaluation."""

NUMBERS = 2**24
"""Maximum number of elements per trial of these inputs together: bounds the memory of large images."""

SAMPLE = 2**22
"""Number of input elements per trial with which an evaluation is timed."""

LARGE = 2**18
"""Least number of input elements per trial and step at which choosing how products are computed repays its overhead."""


@dataclass(frozen=True)
class StackedBatch:
    """A batch of S trials, ordered by environment: inputs `[S, n, *features]`, labels and index `[S, n]`, side
    `[S, n, k]` or None, and `Batch.counts`."""

    inputs: Tensor
    labels: Tensor
    index: Tensor
    counts: Counts | None = None
    side: Tensor | None = None


class StackedData:
    """The data of a stack of S trials, on the device.

    Parameters
    ----------
    trials
        Trials of one `stack_key`.
    dtype
        Number format of the inputs; bytes are converted when a batch is prepared.

    Attributes
    ----------
    sizes
        Number of images of each training environment.
    sets
        Evaluation sets by split, `train` first.
    paired
        Whether the test environments hold the same inputs in the same order, except for the spurious features.
    draws
        Each trial's random streams.

    Raises
    ------
    UserError
        A trial's data do not match its dataset's declarations (see `irm_sweeps.data.drawn`), or the trials draw
        different numbers of inputs.
    """

    def __init__(self, trials: Sequence[Trial], data_dir: Path, device: torch.device, dtype: torch.dtype) -> None:
        drawn = [checked_draw(trial.dataset, trial.seed, data_dir, dtype) for trial in trials]
        if len({_sizes(d) for d in drawn}) > 1:
            raise UserError(
                f"{type(trials[0].dataset).__name__}: trials of one stack draw different numbers of inputs: let "
                "`stacks` return False"
            )
        self.paired = all(d.held_out["test"].paired for d in drawn)
        self._dataset, self._training = trials[0].dataset, trials[0].training
        self._device, self._dtype = device, dtype
        self.draws = [Draws(trial.seed) for trial in trials]
        self.sizes = [len(labels) for labels in drawn[0].labels]
        self._counts = counts_if_unequal(self.sizes)
        self._inputs = self._put(np.stack([np.concatenate(list(d.inputs)) for d in drawn]))
        self._labels = torch.from_numpy(np.stack([np.concatenate(list(d.labels)) for d in drawn])).to(device)
        self._index = torch.arange(sum(self.sizes), device=device).expand_as(self._labels)
        self._side = self._stacked_side([d.side for d in drawn])
        # This order of the splits is the order of evaluation: training environments first.
        self.sets = {"train": self._training_set([list(d.names) for d in drawn])}
        for split in drawn[0].held_out:
            evaluation_sets = [d.held_out[split] for d in drawn]
            inputs = self._put(np.stack([s.inputs for s in evaluation_sets]))
            self.sets[split] = StackedSet.of(evaluation_sets, inputs)
        if self._dataset.outputs == 1:
            self._labels = self._labels.to(dtype)
        self._minibatches = self._plan()
        self._lit = self._lit_channels()

    def _stacked_side(self, sides: Sequence[PerEnvironment | None]) -> Tensor | None:
        """Return the side information of all training images, `[S, images, k]`; None if there is none."""
        given = [np.concatenate(list(side)) for side in sides if side is not None]
        if not given:
            return None
        return torch.from_numpy(np.stack(given).astype(np.float64)).to(self._device, self._dtype)

    def _training_set(self, names: Sequence[Sequence[str]]) -> StackedSet:
        """Return the evaluation set `train`: the first `training.evaluate_train` images of each environment."""
        limit = self._training.evaluate_train
        rows = [r[:limit] for r in rows_of(self.sizes)]
        whole = StackedSet(
            self._inputs,
            [torch.from_numpy(np.stack([r] * len(names))).to(self._device) for r in rows],
            [labels[:, :limit] for labels in self._labels.split(self.sizes, 1)],
            names,
        )
        used = np.concatenate(rows)
        return whole if len(used) == sum(self.sizes) else whole.without_unused(used)

    def evaluated(self, trial: int) -> tuple[Tensor, Tensor | None]:
        """Return `Batch.index` and `Batch.side` of one trial's images of the evaluation set `train`."""
        limit = self._training.evaluate_train
        index = torch.cat([own[:limit] for own in self._index[trial].split(self.sizes)])
        return index, None if self._side is None else self._side[trial, index]

    @property
    def has_side(self) -> bool:
        """Whether the dataset gives side information of the training images."""
        return self._side is not None

    @property
    def environments(self) -> int:
        """Number of training environments."""
        return len(self.sizes)

    @property
    def per_step(self) -> int:
        """Maximum number of images in a step's batch."""
        size = self._training.batch_size or max(self.sizes)
        if self._training.batches == "pooled" and self._minibatches is not None:
            return size
        return sum(min(size, n) for n in self.sizes)

    @property
    def held_back(self) -> list[float]:
        """Fraction of each training environment's images that is held out for validation."""
        if "val" not in self.sets:
            return [0.0] * self.environments
        val_sizes = [index.shape[1] for index in self.sets["val"].index]
        return [n_val / (n_val + n) for n_val, n in zip(val_sizes, self.sizes, strict=True)]

    @property
    def epoch(self) -> int:
        """Number of steps per epoch, in which every training image is seen about once; 1 at full batch."""
        return self._minibatches[0].per_epoch if self._minibatches else 1

    @property
    def large(self) -> bool:
        """Whether a step's inputs have at least `LARGE` elements."""
        return self.per_step * math.prod(self._dataset.features) >= LARGE

    def _lit_channels(self) -> Tensor | None:
        """Return the inputs of every step, `[1, n, features]`, as `LitChannels`; None where its conditions do not hold.

        They are: one trial, full batch, no augmentation, flat inputs, and `large`.
        """
        if self._minibatches or self._dataset.draws_per_image or len(self.draws) > 1:
            return None
        if len(self._dataset.features) > 1 or not self.large:
            return None
        product = torch.bfloat16 if self._training.precision == "bf16" else self._dtype
        return LitChannels.of(self._prepare(self._inputs, "", training=True), self._dataset.channels, product)

    def _put(self, inputs: Array) -> Tensor:
        """Copy inputs to the device: bytes as they are, floats in the stack's number format."""
        tensor = torch.from_numpy(inputs)
        return tensor.to(self._device, None if tensor.dtype is torch.uint8 else self._dtype)

    def _plan(self) -> list[Minibatches] | list[PooledMinibatches] | None:
        """Return each trial's minibatches; None at full batch."""
        size = self._training.batch_size
        if self._training.batches == "pooled":
            if size is None or size >= sum(self.sizes):
                return None
            return [PooledMinibatches(d, self.sizes, size) for d in self.draws]
        if size is None or size >= max(self.sizes):
            return None
        return [Minibatches(d, self.sizes, size) for d in self.draws]

    def same_as(self, number: int) -> int:
        """Return the lowest batch number of a step with the same images as batch `number`: 0 at full batch."""
        return 0 if self.repeats else number

    @property
    def repeats(self) -> bool:
        """Whether all batches of all steps have the same inputs: full batch, without augmentation."""
        return self._minibatches is None and not self._dataset.draws_per_image

    def batch(self, step: int, number: int, batches: int) -> StackedBatch:
        """Return batch `number` of the `batches` batches of a step."""
        counts = self._counts
        if self._lit is not None:
            return StackedBatch(self._lit, self._labels, self._index, counts, self._side)
        if self._minibatches is None:
            inputs, labels, index, side = self._inputs, self._labels, self._index, self._side
        else:
            drawn = [m.of_step(step, number, batches) for m in self._minibatches]
            counts = drawn[0][1]
            index = self.send(np.stack([rows for rows, _ in drawn]))
            trial = torch.arange(len(self.draws), device=self._device).unsqueeze(1)
            inputs, labels = self._inputs[trial, index], self._labels[trial, index]
            side = None if self._side is None else self._side[trial, index]
        prepared = self._prepare(inputs, f"augment/{step}/{number}", training=True)
        return StackedBatch(prepared, labels, index, counts, side)

    def send(self, values: Array, dtype: torch.dtype | None = None) -> Tensor:
        """Copy an array to the device without waiting for the device."""
        tensor = torch.from_numpy(values).to(dtype)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)

    def _prepare(self, inputs: Tensor, purpose: str, *, training: bool, draws: Sequence[Draws] | None = None) -> Tensor:
        """Return the network's inputs `[S, n, *features]` for stored `[S, n, ...]`; `purpose` names the draws."""
        if inputs.dtype is torch.uint8:
            inputs = inputs.to(self._dtype) / 255
        k = self._dataset.draws_per_image if training or self._dataset.draws_at_test else 0
        uniforms = None
        if k:
            numbers = np.stack([d.uniform(purpose, inputs.shape[1], k) for d in draws or self.draws])
            uniforms = self.send(numbers).flatten(0, 1)
        prepared = self._dataset.prepare(inputs.flatten(0, 1), uniforms, training=training)
        return prepared.reshape(*inputs.shape[:2], *prepared.shape[1:])

    @property
    def _rows(self) -> int:
        """Number of inputs per trial in one forward pass of an evaluation."""
        return max(1, min(ROWS, NUMBERS // math.prod(self._dataset.features)))

    def pieces(self, split: str, step: int) -> Iterator[Tensor]:
        """Yield the prepared inputs of a split in pieces `[S, rows, *features]`, bounded by `ROWS` and `NUMBERS`."""
        for i, piece in enumerate(torch.split(self.sets[split].inputs, self._rows, dim=1)):
            yield self._prepare(piece, f"augment/{split}/{step}/{i}", training=False)

    def training_images(self, trial: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the labels, environments and side information of all training images of one trial."""
        environments = torch.cat(
            [torch.full((size,), e, dtype=torch.int64, device=self._device) for e, size in enumerate(self.sizes)]
        )
        return self._labels[trial], environments, None if self._side is None else self._side[trial]

    def training_pieces(self, trial: int, step: int) -> Iterator[Tensor]:
        """Yield the inputs of all training images of one trial, prepared as for an evaluation, `[rows, *features]`."""
        for i, piece in enumerate(torch.split(self._inputs[trial : trial + 1], self._rows, dim=1)):
            purpose, draws = f"augment/stage/{step}/{i}", self.draws[trial : trial + 1]
            yield self._prepare(piece, purpose, training=False, draws=draws)[0]

    def sample(self, step: int) -> tuple[Tensor, float]:
        """Return some prepared test inputs, `[S, rows, *features]`, and their fraction of all evaluation inputs."""
        rows = max(1, SAMPLE // math.prod(self._dataset.features))
        inputs = self.sets["test"].inputs[:, :rows]
        total = sum(s.inputs.shape[1] for s in self.sets.values())
        return self._prepare(inputs, f"augment/test/{step}/0", training=False), inputs.shape[1] / total

    def prepared(self, step: int) -> Callable[[str], Iterator[Tensor]]:
        """Return `pieces` as a function of the split, for the evaluation after `step` updates."""
        return lambda split: self.pieces(split, step)


def _sizes(data: TrialData) -> tuple[object, ...]:
    """Return the sizes that the trials of one stack must share."""
    train = tuple(np.shape(inputs) for inputs in data.inputs)
    side = tuple(np.shape(values) for values in (() if data.side is None else data.side))
    held_out = (
        (split, s.inputs.shape, *(len(e.index) for e in s.environments.values())) for split, s in data.held_out.items()
    )
    return train, side, *held_out
