"""Losses of a batch, and their gradients in closed form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each image's loss, `[n]`: binary cross-entropy for logits `[n]`, cross-entropy for `[n, k]`."""
    if logits.ndim == 1:
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, labels.long(), reduction="none")


def residuals(logits: Tensor, labels: Tensor) -> Tensor:
    """Return d loss / d logits per image: predicted minus observed probability, shaped as the logits."""
    if logits.ndim == 1:
        return logits.sigmoid() - labels.to(logits.dtype)
    return logits.softmax(-1) - F.one_hot(labels.long(), logits.shape[-1]).to(logits.dtype)


def columns(values: Tensor) -> Tensor:
    """Return `[n, 1]` for per-image values `[n]`, else the values: one column per logit."""
    return values.unsqueeze(-1) if values.ndim == 1 else values


def population_std(values: Tensor) -> Tensor:
    """Return the population standard deviation; where all are equal it has no gradient, and 0 is taken."""
    variance = (values - values.mean()).square().mean()
    equal = variance == 0
    return torch.where(equal, 0.0, torch.where(equal, 1.0, variance).sqrt())


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return, per image, whether the predicted class is the label; a logit of exactly 0 predicts class 0."""
    predicted = logits > 0 if logits.ndim == 1 else logits.argmax(-1)
    return predicted.to(torch.int64) == labels.to(torch.int64)
