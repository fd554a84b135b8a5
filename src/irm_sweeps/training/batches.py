"""Which images a step sees, as a pure function of seed and step: nothing has to be saved to resume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from irm_sweeps.draws import Draws

Rows = npt.NDArray[np.int64]
Counts = tuple[int, ...]


def rows_of(sizes: Sequence[int]) -> list[Rows]:
    """Return, of each environment, the positions of its images in those of all, one environment after another."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def counted(sizes: Sequence[int]) -> Counts | None:
    """Return how many images of each environment a batch has, None where they are equally many, as `Batch` says it."""
    return None if len(set(sizes)) == 1 else tuple(sizes)


class Minibatches:
    """Shuffled epochs over each training environment, `size` images of each in every batch.

    An epoch of an environment is a fresh permutation of it, cut into batches; an incomplete last batch is left out. A
    smaller environment begins its next epoch earlier than a larger one, and one of fewer than `size` images is in
    every batch as a whole.
    """

    def __init__(self, draws: Draws, sizes: Sequence[int], size: int) -> None:
        self._environments = [_Environment(draws, e, rows, size) for e, rows in enumerate(rows_of(sizes))]
        self._counts = counted([own.size for own in self._environments])
        self.per_epoch = max(own.per_epoch for own in self._environments)

    def of_step(self, step: int, number: int, batches: int) -> tuple[Rows, Counts | None]:
        """Return batch `number` of a step that sees `batches` of them, and how many images each environment has."""
        return self.at(step * batches + number), self._counts

    def at(self, number: int) -> Rows:
        """Return batch `number`: positions in the images of all environments, one environment after another."""
        return np.concatenate([own.at(number) for own in self._environments])


class _Environment:
    """The batches of environment e, whose images stand at `rows`."""

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
    """Shuffled epochs over the pooled training images, as a DataLoader over all environments gives them.

    A batch has as many images of each environment as chance will have it; an incomplete last batch is kept.
    The batches that a step sees besides its first (for inner steps) are epochs of their own.
    """

    def __init__(self, draws: Draws, sizes: Sequence[int], size: int) -> None:
        self._draws, self._size, self._n = draws, size, sum(sizes)
        self._owner = np.repeat(np.arange(len(sizes)), sizes)
        self._environments = len(sizes)
        self.per_epoch = -(-self._n // size)
        self._orders: dict[int, tuple[int, Rows]] = {}

    def of_step(self, step: int, number: int, batches: int) -> tuple[Rows, Counts]:
        """Return the positions of a step's batch `number`, environment by environment, and how many each has."""
        del batches
        epoch, position = divmod(step, self.per_epoch)
        if self._orders.get(number, (-1,))[0] != epoch:
            self._orders[number] = epoch, self._draws.permutation(f"pooled/{number}/{epoch}", self._n)
        rows = self._orders[number][1][position * self._size : (position + 1) * self._size]
        owner = self._owner[rows]
        counts = np.bincount(owner, minlength=self._environments)
        return rows[np.argsort(owner, kind="stable")], tuple(counts.tolist())
