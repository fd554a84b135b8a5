"""The linear unit tests of invariance: synthetic problems with a known invariant predictor."""

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

    `cause_effect` (Example 1) is a regression. Causes are x ~ N(0, s_e^2), hidden targets h ~ N(W_xh x, s_e^2),
    effects z ~ N(W_hz h, 1) and the target is y = 1^T h, with s_e = 0.1, 1.5, 2 and 10^U(-2, 1) in further
    environments. The entries of W_xh are N(0, 1) / d_invariant and those of W_hz N(0, 1) / d_spurious, the same in all
    environments. The best predictor from the causes alone has mean squared error d_invariant s_e^2.

    `cows_camels` (Example 2) is a classification. The animal determines the label but has a hundredth of the
    background's scale; the background agrees with it in 95, 97, 99 % of cases; the noise has variance 0.1.
    `small_margin` (Example 3) is a classification. Invariant features have means +-0.1, spurious features large means
    that are drawn anew in each environment. Scrambling rotates the features, which mixes invariant and spurious ones.

    Test environments are the training environments with the spurious features permuted between observations. A
    predictor that uses them gets worse; the invariant predictor does not. The score of the unit tests is the test
    error averaged over environments: the mean squared error in Example 1, else 1 - accuracy.
    """

    example: Literal["cause_effect", "cows_camels", "small_margin"]
    """The problem: Example 1, 2 or 3."""
    scrambled: bool
    """Whether a random rotation mixes invariant and spurious features."""
    environments: Annotated[int, Field(ge=2)]
    """Number of training environments. Beyond three, the constants of Examples 1 and 2 are random, as in the paper."""
    n_train: Annotated[int, Field(ge=2)]
    """Number of observations per training environment (10,000 in the paper)."""
    n_val: Annotated[int, Field(ge=0)]
    """Number of observations per training environment held back for validation."""
    n_test: Annotated[int, Field(ge=1)]
    """Number of observations per test environment."""
    d_invariant: Annotated[int, Field(ge=1)]
    """Number of invariant features (5 in the paper)."""
    d_spurious: Annotated[int, Field(ge=1)]
    """Number of spurious features (5 in the paper)."""
    problem_seed: Annotated[int, PerTrial(), Field(ge=0)] | None
    """Seed of the environments' constants and of the rotation; null: the trial's seed."""
    shuffled: bool = False
    """Whether the spurious features of training and held-out observations are permuted too: the oracle, for which
    they are uninformative."""
    margin_noise: Annotated[float, Field(gt=0)] = 0.1
    """Variance of the features in Example 3: 0.1, or 0.01 as in the released code. The best invariant predictor
    has accuracy Phi(0.1 sqrt(d_invariant / margin_noise)): 76 or 98.7 % for d_invariant = 5."""

    @property
    def outputs(self) -> int:
        """One logit, or the regression's prediction."""
        return 1

    @property
    def loss(self) -> Literal["cross_entropy", "squared"]:
        """`squared` in Example 1, else `cross_entropy`."""
        return "squared" if self.example == "cause_effect" else "cross_entropy"

    @property
    def features(self) -> tuple[int, ...]:
        """One vector of all features."""
        return (self.d_invariant + self.d_spurious,)

    @property
    def shifted(self) -> str:
        """The last environment; all are shifted in the same way."""
        return str(self.environments - 1)

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        names = [str(e) for e in range(self.environments)]
        return by_split(names, names, self.n_val)

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return a digest of the recipe's name and version, since there is no file."""
        del data_dir
        return {"synthetic": hashlib.sha256(b"linear_unit_tests 1").hexdigest()}

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Draw the training, held-out and test observations of every environment."""
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
        """Return the features with the spurious ones permuted by `order`."""
        return np.concatenate([z[:, : self.d_invariant], z[order, self.d_invariant :]], axis=1)

    def _rotation(self, problem: Draws) -> npt.NDArray[np.float64]:
        """Return a random orthogonal matrix `[d, d]`; the identity without scrambling."""
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
        """Return, for environment e, P(usual background) and P(cow)."""
        if e < len(COWS):
            return COW_BACKGROUND[e], COWS[e]
        return 0.9 + 0.1 * float(problem.uniform(f"background/{e}", 1)[0]), 0.3 + 0.4 * float(
            problem.uniform(f"cows/{e}", 1)[0]
        )


def _normal(draws: Draws, purpose: str, *shape: int) -> npt.NDArray[np.float64]:
    """Return standard normal numbers, the quantiles of uniform draws."""
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
