"""Linear unit tests of invariance: synthetic problems whose invariant predictor is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import ndtri

from irm_sweeps.config import PerTrial
from irm_sweeps.data.dataset import Array, Dataset, Environment, EvaluationSet, TrialData, by_split
from irm_sweeps.draws import Draws

SPREADS = (0.1, 1.5, 2.0)
"""Example 1: standard deviation of causes and noise in the first three environments."""
ANIMAL_SCALE, BACKGROUND_SCALE = 1e-2, 1.0
MARGIN = 0.1
COW_BACKGROUND = (0.95, 0.97, 0.99)
COWS = (0.3, 0.5, 0.7)


class LinearUnitTests(Dataset):
    """The three examples of Aubin et al. (2021), arXiv 2102.10867, and their scrambled versions, as released.

    `cause_effect` (Example 1) is a regression: causes x ~ N(0, s_e^2), hidden targets h ~ N(W_xh x, s_e^2),
    effects z ~ N(W_hz h, 1) and y = 1^T h, with s_e = 0.1, 1.5, 2 and for further environments 10^U(-2, 1);
    the entries of W_xh are N(0, 1) / d_invariant and those of W_hz N(0, 1) / d_spurious, the same in all
    environments. The best predictor from the causes alone has mean squared error d_invariant s_e^2.
    `cows_camels` (Example 2): the animal decides the label but is drawn a hundred times fainter than the
    background, which agrees with it in 95, 97, 99 % of cases; noise has variance 0.1. `small_margin` (Example 3):
    invariant features have means +-0.1, spurious ones large means that each environment draws anew. Scrambling
    rotates invariant and spurious features into each other.

    Test environments are the training environments with the spurious features permuted between
    observations: whoever uses them errs more, the invariant predictor loses nothing. The unit tests' measure is
    the error there, averaged over environments: the mean squared error of Example 1, else 1 - accuracy.
    """

    example: Literal["cause_effect", "cows_camels", "small_margin"]
    """Example 1, 2 or 3."""
    scrambled: bool
    """Whether the features are rotated."""
    environments: Annotated[int, Field(ge=2)]
    """Training environments; beyond three, Examples 1 and 2 draw their constants at random, as the paper does."""
    n_train: Annotated[int, Field(ge=2)]
    """Observations per environment (10,000 in the paper)."""
    n_val: Annotated[int, Field(ge=0)]
    """Observations per environment held back for validation."""
    n_test: Annotated[int, Field(ge=1)]
    """Observations per test environment."""
    d_invariant: Annotated[int, Field(ge=1)]
    """Invariant features (5 in the paper)."""
    d_spurious: Annotated[int, Field(ge=1)]
    """Spurious features (5 in the paper)."""
    problem_seed: Annotated[int, PerTrial(), Field(ge=0)] | None
    """Seed of the environments' own constants and of the rotation; null: the trial's."""
    shuffled: bool = False
    """Whether the spurious features of training and held-out observations are permuted too: the oracle, for which
    they carry nothing."""
    margin_noise: Annotated[float, Field(gt=0)] = 0.1
    """Variance of the features in Example 3: 0.1, or 0.01 as in the released code. The best invariant predictor
    is right in Phi(0.1 sqrt(d_invariant / margin_noise)) of cases: 76 or 98.7 % for d_invariant = 5."""

    @property
    def outputs(self) -> int:
        """One logit, or the regression's prediction."""
        return 1

    @property
    def loss(self) -> Literal["cross_entropy", "squared"]:
        """Squared in Example 1."""
        return "squared" if self.example == "cause_effect" else "cross_entropy"

    @property
    def features(self) -> tuple[int, ...]:
        """All features in one vector."""
        return (self.d_invariant + self.d_spurious,)

    @property
    def shifted(self) -> str:
        """The last environment; all of them are shifted alike."""
        return str(self.environments - 1)

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        names = [str(e) for e in range(self.environments)]
        return by_split(names, names, self.n_val)

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the digest of the recipe's name: there is no file."""
        del data_dir
        return {"synthetic": hashlib.sha256(b"linear_unit_tests 1").hexdigest()}

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Draw environments, held-out and test observations."""
        del data_dir
        draws = Draws(seed)
        problem = Draws(seed if self.problem_seed is None else self.problem_seed)
        rotation = self._rotation(problem)
        names = self.announced["train"]
        held_out: dict[str, list[tuple[Array, Array]]] = {"val": [], "test": []}
        inputs, labels = [], []
        for e in range(self.environments):
            z, y = self._observe(draws, problem, f"train/{e}", e, self.n_train + self.n_val)
            if self.shuffled:
                z = self._shuffled(z, draws.permutation(f"train/{e}/shuffle", len(z)))
            x = (z @ rotation).astype(np.float32)
            inputs.append(x[: self.n_train])
            labels.append(y[: self.n_train])
            held_out["val"].append((x[self.n_train :], y[self.n_train :]))
            z, y = self._observe(draws, problem, f"test/{e}", e, self.n_test)
            shuffled = self._shuffled(z, draws.permutation(f"test/{e}/shuffle", len(z)))
            held_out["test"].append(((shuffled @ rotation).astype(np.float32), y))
        if not self.n_val:
            del held_out["val"]
        sets = {split: _set(names, parts) for split, parts in held_out.items()}
        return TrialData(names, np.stack(inputs), np.stack(labels), sets)

    def _shuffled(self, z: Array, order: Array) -> Array:
        return np.concatenate([z[:, : self.d_invariant], z[order, self.d_invariant :]], axis=1)

    def _rotation(self, problem: Draws) -> npt.NDArray[np.float64]:
        d = self.features[0]
        if not self.scrambled:
            return np.eye(d)
        q, r = np.linalg.qr(_normal(problem, "rotation", d, d))
        rotation: npt.NDArray[np.float64] = q * np.sign(np.diag(r))
        return rotation

    def _observe(self, draws: Draws, problem: Draws, purpose: str, e: int, n: int) -> tuple[Array, Array]:
        """Return features `[n, d]` (invariant ones first) and labels `[n]` of environment e."""
        if self.example == "cause_effect":
            return self._cause_and_effect(draws, problem, purpose, e, n)
        variance = self.margin_noise if self.example == "small_margin" else 0.1
        noise = np.sqrt(variance) * _normal(draws, f"{purpose}/noise", n, self.features[0])
        invariant, spurious = noise[:, : self.d_invariant], noise[:, self.d_invariant :]
        if self.example == "small_margin":
            y = (draws.uniform(f"{purpose}/label", n) < 0.5).astype(np.int64)
            sign = np.where(y == 0, 1.0, -1.0)[:, None]
            centre = _normal(problem, f"centre/{e}", self.d_spurious)
            return np.concatenate([sign * MARGIN + invariant, sign * centre + spurious], axis=1), y
        background, cows = self._probabilities(problem, e)
        is_cow = draws.uniform(f"{purpose}/animal", n) < cows
        usual = draws.uniform(f"{purpose}/background", n) < background
        animal = np.where(is_cow, 1.0, -1.0)[:, None]
        grass = np.where(is_cow == usual, 1.0, -1.0)[:, None]
        features = [(animal + invariant) * ANIMAL_SCALE, (grass + spurious) * BACKGROUND_SCALE]
        return np.concatenate(features, axis=1), (features[0].sum(1) > 0).astype(np.int64)

    def _cause_and_effect(self, draws: Draws, problem: Draws, purpose: str, e: int, n: int) -> tuple[Array, Array]:
        d = self.d_invariant
        to_hidden = _normal(problem, "cause", d, d) / d
        to_effects = _normal(problem, "effect", d, self.d_spurious) / self.d_spurious
        spread = SPREADS[e] if e < len(SPREADS) else 10 ** (3 * problem.uniform(f"spread/{e}", 1)[0] - 2)
        causes = spread * _normal(draws, f"{purpose}/cause", n, d)
        hidden = causes @ to_hidden + spread * _normal(draws, f"{purpose}/hidden", n, d)
        effects = hidden @ to_effects + _normal(draws, f"{purpose}/effect", n, self.d_spurious)
        return np.concatenate([causes, effects], axis=1), hidden.sum(1).astype(np.float32)

    def _probabilities(self, problem: Draws, e: int) -> tuple[float, float]:
        if e < len(COWS):
            return COW_BACKGROUND[e], COWS[e]
        return 0.9 + 0.1 * float(problem.uniform(f"background/{e}", 1)[0]), 0.3 + 0.4 * float(
            problem.uniform(f"cows/{e}", 1)[0]
        )


def _normal(draws: Draws, purpose: str, *shape: int) -> npt.NDArray[np.float64]:
    uniform = np.clip(draws.uniform(purpose, *shape), 1e-12, 1 - 1e-12)
    normal: npt.NDArray[np.float64] = ndtri(uniform)
    return normal


def _set(names: Sequence[str], parts: list[tuple[Array, Array]]) -> EvaluationSet:
    starts = np.cumsum([0, *(len(y) for _, y in parts)])
    environments = {
        name: Environment(np.arange(len(y)) + start, y)
        for name, (_, y), start in zip(names, parts, starts, strict=False)
    }
    return EvaluationSet(np.concatenate([x for x, _ in parts]), environments)
