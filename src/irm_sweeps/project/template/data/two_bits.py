"""A dataset of your own: the two-bit environments of Kamath et al. (2021), arXiv 2101.01134."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from irm_sweeps import Array, Dataset, Draws, Environment, EvaluationSet, TrialData

Probability = Annotated[float, Field(ge=0, le=1)]


class TwoBits(Dataset):
    """Two signs: the first disagrees with the label equally often in all environments, the second does not."""

    label_noise: Probability
    """How often the first sign disagrees with the label."""
    p_e: Annotated[tuple[Probability, ...], Field(min_length=2)]
    """How often the second sign disagrees with the label, in each training environment."""
    test_p_e: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """The same in the test environments; the last is the shifted one."""
    n: Annotated[int, Field(ge=1)]
    """Inputs of each environment."""

    @property
    def outputs(self) -> int:
        """One logit."""
        return 1

    @property
    def features(self) -> tuple[int, ...]:
        """Two signs."""
        return (2,)

    @property
    def shifted(self) -> str:
        """The last test environment."""
        return str(self.test_p_e[-1])

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        return {"train": [str(p) for p in self.p_e], "test": [str(p) for p in self.test_p_e]}

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the digest of a name for this recipe, as there is no file. Change the name with the recipe."""
        del data_dir
        return {"synthetic": hashlib.sha256(b"two_bits 1").hexdigest()}

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Draw training and test environments."""
        del data_dir
        draws = Draws(seed)
        train = [self._observe(draws, f"train/{e}", p) for e, p in enumerate(self.p_e)]
        tests = [self._observe(draws, f"test/{e}", p) for e, p in enumerate(self.test_p_e)]
        environments = {
            str(p): Environment(np.arange(self.n) + e * self.n, y)
            for e, (p, (_, y)) in enumerate(zip(self.test_p_e, tests, strict=True))
        }
        held_out = {"test": EvaluationSet(np.concatenate([x for x, _ in tests]), environments)}
        return TrialData(
            self.announced["train"], np.stack([x for x, _ in train]), np.stack([y for _, y in train]), held_out
        )

    def _observe(self, draws: Draws, purpose: str, p_e: float) -> tuple[Array, Array]:
        """Return signs `[n, 2]` and labels `[n]`."""
        coin, first, second = (draws.uniform(f"{purpose}/{name}", self.n) for name in ("label", "first", "second"))
        y = coin < 0.5
        bits = np.stack([y ^ (first < self.label_noise), y ^ (second < p_e)], axis=1)
        return np.where(bits, 1, -1).astype(np.float32), y.astype(np.int64)
