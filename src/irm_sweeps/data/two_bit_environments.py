"""The two-bit environments of Kamath et al. (2021), in which IRMv1 can prefer a predictor that is not invariant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from irm_sweeps.data.dataset import (
    Array,
    Dataset,
    Environment,
    EvaluationSet,
    TrialData,
    by_split,
    check_named_once,
    named,
)
from irm_sweeps.draws import Draws

Probability = Annotated[float, Field(ge=0, le=1)]


class TwoBitEnvironments(Dataset):
    """Kamath et al. (2021), arXiv 2101.01134: a fair label and two signs, each of which may disagree with it.

    The first sign disagrees with the label equally often everywhere, so that the invariant predictor uses it alone; the
    second as often as its environment says. It is Colored MNIST without images: the first sign is the digit, the second
    the colour. With `label_noise` .05 and `p_e` .25 and .2 (the YAML's values) IRMv1's penalty is also 0 at a predictor
    that uses the second sign, and whose risk is lower in both training environments: IRMv1 prefers it. With .1 and
    more, the invariant predictor and the constant 0 are the only zeros.
    """

    label_noise: Probability
    """How often the first sign disagrees with the label, in all environments."""
    p_e: Annotated[tuple[Probability, ...], Field(min_length=2)]
    """How often the second sign disagrees with the label, in each training environment."""
    test_p_e: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """The same in the test environments; the last is the shifted one."""
    n_train: Annotated[int, Field(ge=1)]
    """Number of observations per training environment."""
    n_val: Annotated[int, Field(ge=0)]
    """Number of observations per training environment held back for validation."""
    n_test: Annotated[int, Field(ge=1)]
    """Number of observations per test environment."""

    @model_validator(mode="after")
    def _names_are_distinct(self) -> TwoBitEnvironments:
        for key, values in (("p_e", self.p_e), ("test_p_e", self.test_p_e)):
            check_named_once(key, values)
        return self

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
        return named(self.test_p_e)[-1]

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        return by_split(named(self.p_e), named(self.test_p_e), self.n_val)

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return a digest of the recipe's name and version, since there is no file."""
        del data_dir
        return {"synthetic": hashlib.sha256(b"two_bit_environments 1").hexdigest()}

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Draw the training, held-out and test observations of every environment."""
        del data_dir
        draws = Draws(seed)
        train = [self._observe(draws, f"train/{e}", p, self.n_train) for e, p in enumerate(self.p_e)]
        held_out = {"test": self._set(draws, "test", self.test_p_e, self.n_test)}
        if self.n_val:
            held_out = {"val": self._set(draws, "val", self.p_e, self.n_val), **held_out}
        return TrialData(named(self.p_e), np.stack([x for x, _ in train]), np.stack([y for _, y in train]), held_out)

    def _set(self, draws: Draws, split: str, p_e: Sequence[float], n: int) -> EvaluationSet:
        """Return a split with `n` observations of each environment."""
        parts = [self._observe(draws, f"{split}/{e}", p, n) for e, p in enumerate(p_e)]
        environments = {
            name: Environment(np.arange(n) + e * n, y)
            for e, (name, (_, y)) in enumerate(zip(named(p_e), parts, strict=True))
        }
        return EvaluationSet(np.concatenate([x for x, _ in parts]), environments)

    def _observe(self, draws: Draws, purpose: str, p_e: float, n: int) -> tuple[Array, Array]:
        """Return signs `[n, 2]` and labels `[n]`."""
        coin, first, second = (draws.uniform(f"{purpose}/{name}", n) for name in ("label", "first", "second"))
        y = coin < 0.5
        bits = np.stack([y ^ (first < self.label_noise), y ^ (second < p_e)], axis=1)
        return np.where(bits, 1, -1).astype(np.float32), y.astype(np.int64)
