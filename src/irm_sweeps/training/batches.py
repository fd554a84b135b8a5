"""Choose the images of each training step as a pure function of seed and step.

So a resumed trial sees the batches that it would have seen, and a checkpoint holds no state of a data loader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from irm_sweeps.draws import Draws

Rows = npt.NDArray[np.int64]
Counts = tuple[int, ...]


def rows_of(sizes: Sequence[int]) -> list[Rows]:
    """Return each environment's positions among the images of all, which are ordered by environment."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def counts_if_unequal(sizes: Sequence[int]) -> Counts | None:
    """Return the numbers of images per environment, or None if they are equal: `Batch.counts`."""
    return None if len(set(sizes)) == 1 else tuple(sizes)


class Minibatches:
    """Minibatches of `size` images of each training environment, in shuffled epochs.

    An epoch of an environment is a new permutation of its images, cut into batches; an incomplete last batch is
    dropped. A smaller environment starts its next epoch earlier than a larger one. Of an environment with fewer than
    `size` images every batch holds all.
    """

    def __init__(self, draws: Draws, sizes: Sequence[int], size: int) -> None:
        self._environments = [_Environment(draws, e, rows, size) for e, rows in enumerate(rows_of(sizes))]
        self._counts = counts_if_unequal([environment.size for environment in self._environments])
        self.per_epoch = max(environment.per_epoch for environment in self._environments)

    def of_step(self, step: int, number: int, batches: int) -> tuple[Rows, Counts | None]:
        """Return batch `number` of the `batches` batches of a step, and its numbers of images per environment."""
        return self.at(step * batches + number), self._counts

    def at(self, number: int) -> Rows:
        """Return batch `number`, counted from the start of training: positions in the images of all environments."""
        return np.concatenate([environment.at(number) for environment in self._environments])


class _Environment:
    """The batches of environment `e`, whose images have the positions `rows`."""

    def __init__(self, draws: Draws, e: int, rows: Rows, size: int) -> None:
        self._draws, self._e, self._rows = draws, e, rows
        self.size = min(size, len(rows))
        self.per_epoch = len(rows) // self.size
        self._epoch = -1
        self._order: Rows = np.empty(0, np.int64)

    def at(self, number: int) -> Rows:
        epoch, position = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._order = self._rows[self._draws.permutation(f"batches/{epoch}/{self._e}", len(self._rows))]
            self._epoch = epoch
        return self._order[position * self.size : (position + 1) * self.size]


class PooledMinibatches:
    """Minibatches of the pooled training images, in shuffled epochs, as a DataLoader over all environments gives them.

    The number of images of each environment in a batch is random; an incomplete last batch is kept. If a step uses
    several batches (for inner steps), each batch number has its own independent epochs.
    """

    def __init__(self, draws: Draws, sizes: Sequence[int], size: int) -> None:
        self._draws, self._size, self._n = draws, size, sum(sizes)
        self._environment_of_image = np.repeat(np.arange(len(sizes)), sizes)
        self._environments = len(sizes)
        self.per_epoch = -(-self._n // size)
        self._orders: dict[int, tuple[int, Rows]] = {}

    def of_step(self, step: int, number: int, batches: int) -> tuple[Rows, Counts]:
        """Return the positions of a step's batch `number`, ordered by environment, and the counts per environment."""
        del batches
        epoch, position = divmod(step, self.per_epoch)
        if self._orders.get(number, (-1,))[0] != epoch:
            self._orders[number] = epoch, self._draws.permutation(f"pooled/{number}/{epoch}", self._n)
        rows = self._orders[number][1][position * self._size : (position + 1) * self._size]
        environment = self._environment_of_image[rows]
        counts = np.bincount(environment, minlength=self._environments)
        return rows[np.argsort(environment, kind="stable")], tuple(counts.tolist())
