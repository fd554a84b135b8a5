"""A batch of images of several environments, with equal or unequal numbers of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Inputs `[n, *features]` and labels `[n]`, one environment after another.

    Attributes
    ----------
    environments
        Number of training environments of the trial.
    counts
        Number of images of each environment, as Python numbers, so that nothing waits for the device; 0 if an
        environment is absent from a pooled minibatch. None: the numbers are equal.
    index
        Which images these are, int64 `[n]`: their positions among all training images of the trial, which are ordered
        by environment, so that `table[index]` is the batch's part of a table `[images, ...]`.
    side
        Side information z of the images, `[n, k]`; None if the dataset gives none.
    """

    inputs: Tensor
    labels: Tensor
    environments: int
    counts: tuple[int, ...] | None = None
    index: Tensor | None = None
    side: Tensor | None = None

    @property
    def present(self) -> list[int]:
        """The environments with images in the batch; risks and penalties are computed for these, in this order."""
        if self.counts is None:
            return list(range(self.environments))
        return [e for e, count in enumerate(self.counts) if count]

    @property
    def even(self) -> bool:
        """Whether all environments have the same number of images."""
        return self.counts is None or len(set(self.counts)) == 1

    def by_environment(self, values: Tensor) -> Tensor:
        """Reshape `[n, ...]` to `[environments, n / environments, ...]`.

        Raises
        ------
        ValueError
            The batch is not `even`.
        """
        if not self.even:
            raise ValueError(
                f"environments of {list(self.counts or ())} images do not form one tensor [environments, n, ...]: take "
                "`means`, `split` or `each` of the batch instead of `by_environment`"
            )
        return values.reshape(self.environments, -1, *values.shape[1:])

    def split(self, values: Tensor) -> Sequence[Tensor]:
        """Return the `[n_e, ...]` values of each present environment."""
        n = [count for count in self.counts if count] if self.counts else len(self.labels) // self.environments
        parts: Sequence[Tensor] = torch.split(values, n)
        return parts

    def each(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Return `function` of each present environment's values, stacked."""
        return torch.stack([function(own) for own in self.split(values)])

    def means(self, values: Tensor) -> Tensor:
        """Return the mean of per-image values in each present environment, `[present, ...]`."""
        if self.even:
            return self.by_environment(values).mean(1)
        return self.each(lambda own: own.mean(0), values)

    def half_means(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means over the even and over the odd images of each present environment, `[present, ...]` each."""
        if self.even:
            even, odd = (half.mean(1) for half in even_and_odd(self.by_environment(values)))
            return even, odd
        halves = [even_and_odd(own.unsqueeze(0)) for own in self.split(values)]
        return torch.cat([even.mean(1) for even, _ in halves]), torch.cat([odd.mean(1) for _, odd in halves])

    def products(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the mean over images of left x right, `[present, a, b]` for `[n, a]` and `[n, b]`."""
        if self.even:
            own = self.by_environment(left)
            return own.mT @ self.by_environment(right) / own.shape[1]
        pairs = zip(self.split(left), self.split(right), strict=True)
        return torch.stack([a.mT @ b / len(a) for a, b in pairs])

    def of_present(self, table: Tensor) -> Tensor:
        """Return the rows of the present environments of a table `[environments, ...]`."""
        present = self.present
        return table if len(present) == self.environments else torch.stack([table[e] for e in present])

    def of_images(self, table: Tensor) -> Tensor:
        """Return, for each image, the row of its environment in a table `[environments, ...]`: `[n, ...]`."""
        if self.even:
            n = len(self.labels) // self.environments
            return table[:, None].expand(-1, n, *table.shape[1:]).flatten(0, 1)
        assert self.counts is not None
        return torch.cat([row.expand(count, *row.shape) for row, count in zip(table, self.counts, strict=True)])


def even_and_odd(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the even and the odd images of `[environments, n, ...]`.

    A single image is in both halves, so that the product of the halves is a square (IRMBed).
    """
    return values[:, ::2], values[:, 1::2] if values.shape[1] > 1 else values
