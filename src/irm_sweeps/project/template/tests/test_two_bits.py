"""What the data set promises."""

from pathlib import Path

import numpy as np
import pytest

from irm_sweeps.compose import compose
from irm_sweeps.data.drawn import checked_draw
from irm_sweeps.trial import Trial


def test_the_signs_disagree_with_the_label_as_often_as_it_says() -> None:
    """In every environment, within four standard errors."""
    dataset = Trial.from_config(compose(["dataset=two_bits", "dataset.n=10000"])).dataset
    data = checked_draw(dataset, 0, Path())
    for signs, labels, p_e in zip(data.inputs, data.labels, (0.2, 0.1), strict=True):
        disagrees = np.mean((signs > 0) != labels[:, None], axis=0)
        assert disagrees == pytest.approx([0.25, p_e], abs=4 * 0.0045)
