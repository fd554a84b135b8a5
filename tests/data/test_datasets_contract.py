"""The contract suite over all datasets; a new YAML in conf/dataset/ is included automatically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts import component, data_dir, names, sha256, start, trial
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.data.drawn import check_drawn
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


def test_the_same_seed_draws_the_same_bytes(case: tuple[Any, Path], drawn: TrialData) -> None:
    """After other draws, and whatever the state of the global generators."""
    dataset, where = case
    np.random.seed(1)
    torch.manual_seed(1)
    other = dataset.draw(8, where)
    assert sha256(dataset.draw(7, where)) == sha256(drawn)
    if getattr(dataset, "data_seed", None) is None:
        assert sha256(other) != sha256(drawn), "another seed, other data"


def test_what_it_draws_is_what_it_announces(case: tuple[Any, Path], drawn: TrialData) -> None:
    """As every trial has it checked; and there are several environments, and held-out images where asked for."""
    dataset, _ = case
    check_drawn(dataset, drawn)
    assert len(drawn.names) >= 2
    if dataset.announced is not None:
        held_out = {split: list(found.environments) for split, found in drawn.held_out.items()}
        announced = {split: list(names) for split, names in dataset.announced.items()}
        assert announced == {"train": list(drawn.names), **held_out}
    if getattr(dataset, "n_val", 0) and "val" not in drawn.held_out:
        pytest.fail("n_val images are held back, and there is no split of that name")


def test_prepared_inputs_are_finite(case: tuple[Any, Path], drawn: TrialData) -> None:
    dataset, _ = case
    for split, inputs in (("train", drawn.inputs[0]), *((own, s.inputs) for own, s in drawn.held_out.items())):
        images = torch.from_numpy(inputs[:4])
        images = images.float() / 255 if images.dtype is torch.uint8 else images
        k = dataset.draws_per_image if split == "train" or dataset.draws_at_test else 0
        uniforms = torch.rand(len(images), k, dtype=torch.float64) if k else None
        prepared = dataset.prepare(images, uniforms, training=split == "train")
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
