"""The dataset draws what its fields say."""

from pathlib import Path

import numpy as np
import pytest

from irm_sweeps.testing import checked_draw, compose_trial


def test_the_signs_disagree_with_the_label_as_often_as_the_fields_say() -> None:
    """In every training environment, to within four standard errors."""
    dataset = compose_trial("dataset=two_bits", "dataset.n=10000").dataset
    data = checked_draw(dataset, seed=0, data_dir=Path())
    for signs, labels, p_e in zip(data.inputs, data.labels, (0.2, 0.1), strict=True):
        disagrees = np.mean((signs > 0) != labels[:, None], axis=0)
        assert disagrees == pytest.approx([0.25, p_e], abs=4 * 0.0045)
