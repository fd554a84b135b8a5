"""Everything random about a trial's data and parameters, drawn from its seed alone.

Each purpose ("labels", "colours", "batches/3", ...) has a stream of its own, so that adding a draw
somewhere never shifts another one, and a stream can be drawn again at any time: resuming a trial needs no
generator state. Only `Philox` bits turned into uniform doubles are used; unlike numpy's higher
distributions, they do not change between numpy versions or machines.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt


class Draws:
    """Named, independent streams of uniform numbers that depend on `seed` only."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _stream(self, purpose: str) -> np.random.Generator:
        entropy = [self.seed, zlib.crc32(purpose.encode())]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))

    def uniform(self, purpose: str, *shape: int) -> npt.NDArray[np.float64]:
        """Return doubles in [0, 1) of the given shape."""
        return self._stream(purpose).random(shape)

    def permutation(self, purpose: str, n: int) -> npt.NDArray[np.int64]:
        """Return the numbers 0...n-1 in random order."""
        return np.argsort(self.uniform(purpose, n), kind="stable")

    def integer(self, purpose: str) -> int:
        """Return a seed in [0, 2^31) for a library that has its own generator."""
        return int(self._stream(purpose).random() * 2**31)
