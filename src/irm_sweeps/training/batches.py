"""Which images a step sees, as a pure function of seed and step: nothing has to be saved to resume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from irm_sweeps.draws import Draws

Rows = npt.NDArray[np.int64]


class Minibatches:
    """Shuffled epochs over each training environment, equally many images of each in every batch.

    Every epoch is a fresh permutation per environment, cut into batches; an incomplete last batch is left out.
    """

    def __init__(self, draws: Draws, environments: int, n: int, size: int) -> None:
        self._draws, self._environments, self._n, self._size = draws, environments, n, size
        self.per_epoch = n // size
        self._epoch = -1
        self._order: Rows = np.empty((environments, 0), np.int64)

    def of_step(self, step: int, number: int, batches: int) -> tuple[Rows, None]:
        """Return batch `number` of a step that sees `batches` of them."""
        return self.at(step * batches + number), None

    def at(self, number: int) -> Rows:
        """Return batch `number`: `[environments * size]` positions in the flattened `[environments * n]` images."""
        epoch, position = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._order = np.stack(
                [
                    self._draws.permutation(f"batches/{epoch}/{e}", self._n) + e * self._n
                    for e in range(self._environments)
                ]
            )
            self._epoch = epoch
        return self._order[:, position * self._size : (position + 1) * self._size].reshape(-1)


class PooledMinibatches:
    """Shuffled epochs over the pooled training images, as a DataLoader over all environments gives them.

    A batch has as many images of each environment as chance will have it; an incomplete last batch is kept.
    The batches that a step sees besides its first (for inner steps) are epochs of their own.
    """

    def __init__(self, draws: Draws, environments: int, n: int, size: int) -> None:
        self._draws, self._environments, self._n, self._size = draws, environments, n, size
        self.per_epoch = -(-environments * n // size)
        self._orders: dict[int, tuple[int, Rows]] = {}

    def of_step(self, step: int, number: int, batches: int) -> tuple[Rows, tuple[int, ...]]:
        """Return the positions of a step's batch `number`, environment by environment, and how many each has."""
        del batches
        epoch, position = divmod(step, self.per_epoch)
        if self._orders.get(number, (-1,))[0] != epoch:
            order = self._draws.permutation(f"pooled/{number}/{epoch}", self._environments * self._n)
            self._orders[number] = epoch, order
        rows = self._orders[number][1][position * self._size : (position + 1) * self._size]
        owner = rows // self._n
        counts = np.bincount(owner, minlength=self._environments)
        return rows[np.argsort(owner, kind="stable")], tuple(counts.tolist())
