"""A small Colored MNIST, the digest of a draw, and a binomial test of counts."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from irm_sweeps.data.colored_mnist import ColoredMNIST
from irm_sweeps.data.dataset import TrialData

NOWHERE = Path("no_data_is_read")


def colored_mnist(**changes: object) -> ColoredMNIST:
    values = {
        "source": "embedded",
        "classes": 2,
        "p_e": (0.2, 0.1),
        "label_noise": (0.25, 0.25),
        "test_p_e": (0.1, 0.5, 0.9),
        "test_label_noise": 0.25,
        "n_train": None,
        "n_val": 0,
        "grayscale": False,
    }
    return ColoredMNIST(**{**values, **changes})


def sha256(data: TrialData) -> str:
    digest = hashlib.sha256()
    arrays = [data.inputs, data.labels]
    for split in sorted(data.held_out):
        evaluation_set = data.held_out[split]
        arrays.append(evaluation_set.inputs)
        for name in sorted(evaluation_set.environments):
            arrays += [evaluation_set.environments[name].index, evaluation_set.environments[name].labels]
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def binomial(count: int, n: int, p: float) -> bool:
    """Return whether a binomial count is within 4.5 standard deviations of its mean: one false alarm in 150,000."""
    return abs(count - n * p) <= 4.5 * math.sqrt(n * p * (1 - p)) + 1e-9
