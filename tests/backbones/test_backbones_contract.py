"""The contract suite over all backbones; a new YAML in conf/backbone/ is included automatically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contracts import component, data_dir, names, start, trial
from irm_sweeps.backbones.backbone import Model
from irm_sweeps.data.dataset import Dataset
from irm_sweeps.errors import UserError
from irm_sweeps.testing.runs import interrupted

SHAPES = [(12,), (392,), (3, 32, 32)]
"""A vector, Colored MNIST's inputs and CIFAR-MNIST's: a backbone takes at least one of them."""


def built(backbone: Any, features: tuple[int, ...], outputs: int, seed: int = 0) -> Model:
    return Model(*backbone.build(features, outputs, torch.Generator().manual_seed(seed)))


def shapes(backbone: Any) -> list[tuple[int, ...]]:
    """Those it takes; the others it refuses in a way that a user can read."""
    found = []
    for shape in SHAPES:
        try:
            built(backbone, shape, 1)
        except UserError:
            continue
        found.append(shape)
    return found


@pytest.fixture(scope="module", params=names("backbone"))
def backbone(request: pytest.FixtureRequest) -> Any:
    return component("backbone", request.param)


@pytest.fixture(scope="module")
def features(backbone: Any) -> tuple[int, ...]:
    taken = shapes(backbone)
    assert taken, f"it takes none of {SHAPES}"
    return taken[-1]


def inputs(features: tuple[int, ...], n: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(n, *features, generator=torch.Generator().manual_seed(seed))


def test_what_it_cannot_take_it_refuses_before_a_sweep_starts(backbone: Any) -> None:
    """`check` says so where `build` would, if it looks at the shape at all."""
    for shape in shapes(backbone):
        backbone.check(shape, 1)


def test_initial_values_come_from_the_generator_alone(backbone: Any, features: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    one = built(backbone, features, 2).initial()
    torch.manual_seed(2)
    same = built(backbone, features, 2).initial()
    other = built(backbone, features, 2, seed=1).initial()
    assert one.keys() == same.keys() == other.keys()
    assert all(torch.equal(one[name], same[name]) for name in one), "an initialisation is not the generator's"
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("outputs", [1, 3])
def test_both_halves_have_their_shapes(backbone: Any, outputs: int) -> None:
    for shape in shapes(backbone):
        model = built(backbone, shape, outputs)
        parameters = {**model.initial(), **model.buffers()}
        h = model.represent(parameters, inputs(shape))
        assert (h.ndim, h.shape[0]) == (2, 4)
        logits = model.classify(parameters, h)
        assert logits.shape == ((4,) if outputs == 1 else (4, outputs))
        assert logits.isfinite().all()
        layers = model.layers(parameters, inputs(shape))
        assert list(layers)[-1] == "classifier"
        assert all(len(values) == 4 for values in layers.values())


def test_every_parameter_gets_a_gradient(backbone: Any, features: tuple[int, ...]) -> None:
    """On one of several batches at least: a ReLU may be closed on a few inputs."""
    model = built(backbone, features, 3)
    leaves = {name: value.requires_grad_() for name, value in model.initial().items()}
    moved = set()
    for seed in range(3):
        x = inputs(features, 16, seed)
        loss = model.classify({**leaves, **model.buffers()}, model.represent({**leaves, **model.buffers()}, x))
        gradients = torch.autograd.grad(loss.square().sum(), list(leaves.values()), allow_unused=True)
        moved |= {name for name, g in zip(leaves, gradients, strict=True) if g is not None and g.abs().sum() > 0}
    assert moved == set(leaves)


def test_a_prediction_depends_on_its_own_input_only(backbone: Any, features: tuple[int, ...]) -> None:
    """In evaluation always; in training too, of a backbone that stacks."""
    model = built(backbone, features, 3)
    parameters = {**model.initial(), **model.buffers()}
    x = inputs(features)
    for training in (False, True) if backbone.stacks else (False,):
        model.train(training)
        together = model.classify(parameters, model.represent(parameters, x))
        alone = torch.cat([model.classify(parameters, model.represent(parameters, row)) for row in x.split(1)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    if backbone.stacks:
        assert not model.buffers(), "running averages belong to a backbone that says stacks = False"


def test_stacked_parameters_are_as_many_networks(backbone: Any, features: tuple[int, ...]) -> None:
    if not backbone.stacks:
        pytest.skip("it does not stack")
    models = [built(backbone, features, 1, seed) for seed in range(3)]
    own = [{name: value.double() for name, value in model.initial().items()} for model in models]
    stacked = {name: torch.stack([values[name] for values in own]) for name in own[0]}
    x = inputs(features).double()

    def forward(parameters: dict[str, Tensor]) -> Tensor:
        return models[0].classify(parameters, models[0].represent(parameters, x))

    expected = torch.stack([forward(values) for values in own])
    torch.testing.assert_close(torch.func.vmap(forward)(stacked), expected, rtol=1e-9, atol=1e-9)


def test_an_interrupted_trial_goes_on_as_if_nothing_had_been(backbone: Any, tmp_path: Path) -> None:
    dataset, where = dataset_for(backbone, tmp_path)
    trials = [trial(dataset, backbone, 5, precision="float32")]
    (straight,) = start(trials, where).run()
    (again,) = interrupted(start(trials, where), start(trials, where), at=1).run()
    assert again.parameters_sha256 == straight.parameters_sha256
    assert (again.metrics, again.history) == (straight.metrics, straight.history)


def dataset_for(backbone: Any, folder: Path) -> tuple[Dataset, Path]:
    """A dataset whose inputs the backbone takes, and where its files are."""
    by_shape = {(392,): "colored_mnist", (12,): "linear_unit_tests", (3, 32, 32): "cifar_mnist"}
    taken = shapes(backbone)
    name = next(by_shape[shape] for shape in ((392,), (12,), (3, 32, 32)) if shape in taken)
    return component("dataset", name, n_train=6, n_val=2, n_test=4), data_dir(name, folder)
