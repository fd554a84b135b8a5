"""What every dataset keeps to. A new YAML in conf/dataset/ is tested here without being named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts import component, data_dir, names, sha256, start, trial
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.testing.runs import interrupted, numbers

DATASETS = names("dataset")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module", params=DATASETS)
def case(request: pytest.FixtureRequest, folder: Path) -> tuple[Any, Path]:
    """A dataset in its small form, and where its files are."""
    return component("dataset", request.param), data_dir(request.param, folder)


@pytest.fixture(scope="module")
def drawn(case: tuple[Any, Path]) -> TrialData:
    dataset, where = case
    return dataset.draw(7, where)


def splits(dataset: Any, data: TrialData) -> list[tuple[Any, Any]]:
    """Inputs and labels of everything that is trained on or evaluated."""
    found = [(data.inputs.reshape(-1, *data.inputs.shape[2:]), data.labels.reshape(-1))]
    for evaluation_set in data.held_out.values():
        found += [(evaluation_set.inputs[e.index], e.labels) for e in evaluation_set.environments.values()]
    assert dataset.outputs >= 1
    return found


def test_the_same_seed_draws_the_same_bytes(case: tuple[Any, Path], drawn: TrialData) -> None:
    """After other draws, and whatever the state of the global generators."""
    dataset, where = case
    np.random.seed(1)
    torch.manual_seed(1)
    other = dataset.draw(8, where)
    assert sha256(dataset.draw(7, where)) == sha256(drawn)
    if getattr(dataset, "data_seed", None) is None:
        assert sha256(other) != sha256(drawn), "another seed, other data"


def test_environments_are_as_announced(case: tuple[Any, Path], drawn: TrialData) -> None:
    dataset, _ = case
    assert len(set(drawn.names)) == len(drawn.names) == len(drawn.inputs) == len(drawn.labels) >= 2
    assert drawn.inputs.shape[:2] == drawn.labels.shape
    assert dataset.shifted in drawn.held_out["test"].environments
    if "val" in drawn.held_out:
        assert list(drawn.held_out["val"].environments) == list(drawn.names)
    elif getattr(dataset, "n_val", 0):
        pytest.fail("n_val images are held back, and there is no split of that name")
    for evaluation_set in drawn.held_out.values():
        for environment in evaluation_set.environments.values():
            assert environment.index.shape == environment.labels.shape
            assert len(environment.index) > 0
            assert 0 <= environment.index.min() <= environment.index.max() < len(evaluation_set.inputs)


def test_labels_are_those_of_its_loss(case: tuple[Any, Path], drawn: TrialData) -> None:
    dataset, _ = case
    for inputs, labels in splits(dataset, drawn):
        assert inputs.dtype == np.uint8 or (inputs.dtype.kind == "f" and np.isfinite(inputs).all())
        if dataset.loss == "squared":
            assert dataset.outputs == 1
            assert np.isfinite(labels).all()
        else:
            assert labels.dtype.kind in "iu"
            assert set(np.unique(labels)) <= set(range(max(2, dataset.outputs)))


def test_prepared_inputs_have_the_shape_of_its_features(case: tuple[Any, Path], drawn: TrialData) -> None:
    dataset, _ = case
    for training in (True, False):
        for inputs, _ in splits(dataset, drawn):
            images = torch.from_numpy(inputs[:4])
            images = images.float() / 255 if images.dtype is torch.uint8 else images
            k = dataset.draws_per_image if training or dataset.draws_at_test else 0
            uniforms = torch.rand(len(images), k, dtype=torch.float64) if k else None
            prepared = dataset.prepare(images, uniforms, training=training)
            assert prepared.shape == (len(images), *dataset.features)
            assert prepared.isfinite().all()


def test_it_says_what_it_was_made_from(case: tuple[Any, Path]) -> None:
    dataset, where = case
    found = dataset.fingerprint(where)
    assert found
    assert found == dataset.fingerprint(where)
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in found.values())
    dataset.check(where)


def test_its_trials_stack(case: tuple[Any, Path]) -> None:
    """Trials of several seeds train together as they do alone."""
    dataset, where = case
    backbone = component("backbone", "mlp")
    trials = [trial(dataset, backbone, seed) for seed in (1, 2, 3)]
    if not dataset.stacks:
        assert len({own.stack_key for own in trials}) == 3
        return
    for own, outcome in zip(trials, start(trials, where).run(), strict=True):
        (alone,) = start([own], where).run()
        np.testing.assert_allclose(numbers(outcome.metrics), numbers(alone.metrics), rtol=1e-9, atol=1e-9)


def test_an_interrupted_trial_goes_on_as_if_nothing_had_been(case: tuple[Any, Path]) -> None:
    dataset, where = case
    trials = [trial(dataset, component("backbone", "mlp"), 5)]
    (straight,) = start(trials, where).run()
    (again,) = interrupted(start(trials, where), start(trials, where), at=1).run()
    assert again.parameters_sha256 == straight.parameters_sha256
    assert (again.metrics, again.history) == (straight.metrics, straight.history)
