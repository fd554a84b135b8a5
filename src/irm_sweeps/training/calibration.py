"""The expected calibration error: how far a classifier's confidence is from its accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15
"""Number of bins of equal width in which confidences are compared with accuracies (Guo et al. 2017)."""
_SCALE = 2.0**32
"""Sums are of whole numbers of 1 / 2^32, so that they do not depend on the order in which a GPU adds them."""


def expected_calibration_error(confidence: Tensor, correct: Tensor) -> Tensor:
    """Return the expected calibration error of each trial, float64 `[S]`.

    It is sum_b (n_b / n) |accuracy_b - mean confidence_b| over the bins b, that is sum_b |sum of (correct -
    confidence) in b| / n (Naeini et al. 2015; Guo et al. 2017, Eq. 3). A bin has its upper end, not its lower one.

    Parameters
    ----------
    confidence
        `[S, n]`, the probability of the predicted class.
    correct
        `[S, n]`, whether the predicted class is the label.
    """
    excess = ((correct.double() - confidence.double()) * _SCALE).round().long()
    bins = ((confidence.double() * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    sums = torch.zeros(len(excess), BINS, dtype=torch.int64, device=excess.device).scatter_add(1, bins, excess)
    return sums.abs().sum(1).double() / (_SCALE * excess.shape[1])
