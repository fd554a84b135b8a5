"""The loss functions, with their gradients in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


class Loss(ABC):
    """A loss of a prediction given the label. The dataset chooses it (`Dataset.loss`), not the method."""

    @abstractmethod
    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return each image's loss, `[n]`, for outputs `[n]` or `[n, k]` and labels `[n]`."""

    @abstractmethod
    def residuals(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return d loss / d outputs per image, shaped as the outputs."""

    @abstractmethod
    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor | None:
        """Return, per image, whether the predicted class is the label; None where there are no classes."""

    def confidence(self, outputs: Tensor) -> Tensor | None:
        """Return the probability of each image's predicted class; None where there are no classes."""
        del outputs
        return None


class CrossEntropy(Loss):
    """Cross-entropy of logits: binary for `[n]`, of k classes for `[n, k]`."""

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return minus the log probability of the label."""
        if outputs.ndim == 1:
            return F.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction="none")
        return F.cross_entropy(outputs, labels.long(), reduction="none")

    def residuals(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return predicted minus observed probability."""
        if outputs.ndim == 1:
            return outputs.sigmoid() - labels.to(outputs.dtype)
        classes = torch.arange(outputs.shape[-1], device=outputs.device)
        return outputs.softmax(-1) - (labels.long().unsqueeze(-1) == classes).to(outputs.dtype)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return whether the likeliest class is the label; a logit of exactly 0 predicts class 0."""
        predicted = outputs > 0 if outputs.ndim == 1 else outputs.argmax(-1)
        return predicted.to(torch.int64) == labels.to(torch.int64)

    def confidence(self, outputs: Tensor) -> Tensor:
        """Return the likeliest class's probability, at least 1/2 of two classes."""
        return outputs.abs().sigmoid() if outputs.ndim == 1 else outputs.softmax(-1).amax(-1)


class Squared(Loss):
    """(prediction - label)^2, of a regression with one output."""

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the squared error, without a factor 1/2: a mean of it is the mean squared error."""
        return (outputs - labels.to(outputs.dtype)).square()

    def residuals(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return twice the error."""
        return 2 * (outputs - labels.to(outputs.dtype))

    def correct(self, outputs: Tensor, labels: Tensor) -> None:
        """Return None: a regression has no accuracy."""
        del outputs, labels


LOSSES: dict[Literal["cross_entropy", "squared"], Loss] = {"cross_entropy": CrossEntropy(), "squared": Squared()}
"""The losses by the names that `Dataset.loss` returns."""


def columns(values: Tensor) -> Tensor:
    """Return `[n, 1]` for per-image values `[n]`, else the values: one column per logit."""
    return values.unsqueeze(-1) if values.ndim == 1 else values


def sample_variance(values: Tensor) -> Tensor:
    """Return the unbiased variance; 0 of a single value."""
    return (values - values.mean()).square().sum() / max(len(values) - 1, 1)


def population_std(values: Tensor) -> Tensor:
    """Return the population standard deviation; where all are equal it has no gradient, and 0 is taken."""
    variance = (values - values.mean()).square().mean()
    equal = variance == 0
    return torch.where(equal, 0.0, torch.where(equal, 1.0, variance).sqrt())
