"""The expected calibration error, against numpy's histogram, in evaluations of two and of more classes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from irm_sweeps.methods.risks import LOSSES
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.training.calibration import expected_calibration_error


@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_the_weighted_gap_of_confidence_and_accuracy(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (3, 500) if classes == 2 else (3, 500, classes)
    outputs = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (3, 500), generator=generator)
    loss = LOSSES["cross_entropy"]
    for z, y in zip(outputs, labels, strict=True):
        full = np.stack([np.zeros(500), z.numpy()], 1) if classes == 2 else z.numpy()
        p = np.exp(full) / np.exp(full).sum(1, keepdims=True)
        confidence, right = p.max(1), p.argmax(1) == y.numpy()
        edges = np.linspace(0, 1, 16)
        expected = 0.0
        for low, high in itertools.pairwise(edges):
            inside = (confidence > low) & (confidence <= high)
            if inside.any():
                expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        found = loss.confidence(z)
        assert found is not None
        correct = loss.correct(z, y)
        assert correct is not None
        assert expected_calibration_error(found[None], correct[None]).item() == pytest.approx(expected, abs=1e-9)
        assert expected > 0.05


def test_certain_predictions_are_calibrated_where_they_are_right() -> None:
    confidence, correct = torch.ones(2, 4), torch.tensor([[True] * 4, [True, True, True, False]])
    assert expected_calibration_error(confidence, correct).tolist() == [0.0, 0.25]


def test_an_evaluation_has_it(make_trial: MakeTrial, training: Train) -> None:
    (outcome,) = training(make_trial("training.steps=3")).run()
    for environments in outcome.metrics["last"]["scores"].values():
        assert all(0 < measures["ece"] < 1 for measures in environments.values())
