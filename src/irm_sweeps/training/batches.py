"""Which images a step sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from irm_sweeps.draws import Draws


class Minibatches:
    """Shuffled epochs over each training environment, as a pure function of seed and batch number.

    Every epoch is a fresh permutation per environment, cut into batches; an incomplete last batch is left out.
    Nothing has to be saved to resume.
    """

    def __init__(self, draws: Draws, environments: int, n: int, size: int) -> None:
        self._draws, self._environments, self._n, self._size = draws, environments, n, size
        self._per_epoch = n // size
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty((environments, 0), np.int64)

    def at(self, number: int) -> npt.NDArray[np.int64]:
        """Return batch `number`: `[environments * size]` positions in the flattened `[environments * n]` images."""
        epoch, position = divmod(number, self._per_epoch)
        if epoch != self._epoch:
            self._order = np.stack(
                [
                    self._draws.permutation(f"batches/{epoch}/{e}", self._n) + e * self._n
                    for e in range(self._environments)
                ]
            )
            self._epoch = epoch
        return self._order[:, position * self._size : (position + 1) * self._size].reshape(-1)
