"""Products that skip dark channels and pixels equal those of dense images: values, first and second derivatives,
trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from drawn_data import colored_mnist
from irm_sweeps.backbones.rectified_linear import HiddenLayers, rectified_linear
from irm_sweeps.methods.method import Point
from irm_sweeps.testing.runs import assert_same_outcome
from irm_sweeps.training.lit_channels import LitChannels
from method_cases import AllMethods

NOWHERE = Path("no_data_is_read")

SKIPPING = {
    "two colours": {},
    "five colours": {"classes": 5},
    "ten colours": {"classes": 10},
    "a patch in the digit's colour": {"patch": "plain"},
    "a noisy patch": {"patch": "noise", "patch_resolution": 28},
    "grey": {"grayscale": True},
    "a patch in every channel": {"patch": "plain", "patch_channel": "every"},
}


def images(changes: dict[str, Any]) -> tuple[Tensor, int]:
    """Dense float64 images of both environments, with a dark one among them, and their channels."""
    dataset = colored_mnist(n_train=60, **changes)
    drawn = torch.from_numpy(dataset.draw(3, NOWHERE).inputs.reshape(120, -1)).double()
    drawn[17] = 0
    return drawn, dataset.channels


def lit(dense: Tensor, channels: int) -> Tensor:
    found = LitChannels.of(dense, channels, dense.dtype)
    assert isinstance(found, LitChannels)
    return found


def network(inputs: int) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    module = nn.Sequential(HiddenLayers(nn.Linear(inputs, 7), nn.ReLU()), nn.Linear(7, 1)).double()
    return module, dict(module.named_parameters())


@pytest.mark.parametrize("changes", SKIPPING.values(), ids=SKIPPING)
def test_outputs_gradients_and_hessian_vector_products(changes: dict[str, Any]) -> None:
    dense, channels = images(changes)
    module, parameters = network(dense.shape[1])
    labels = torch.rand(len(dense), 1).double()
    vectors = [torch.randn_like(p) for p in parameters.values()]

    def derivatives(x: Tensor) -> list[Tensor]:
        output = functional_call(module, parameters, (x,))
        loss = F.binary_cross_entropy_with_logits(output, labels)
        first = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        along = sum((g * v).sum() for g, v in zip(first, vectors, strict=True))
        return [output, *first, *torch.autograd.grad(along, list(parameters.values()))]

    for found, expected in zip(derivatives(lit(dense, channels)), derivatives(dense), strict=True):
        assert type(found) is Tensor
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("sizes", [60, [40, 50, 30], [1, 0, 119]])
def test_a_split_keeps_what_it_knows(sizes: Any) -> None:
    """Inner steps by torch.func.grad on an environment's own images, and what they do to another one (meta-IRM)."""
    dense, channels = images({"classes": 5})
    module, parameters = network(dense.shape[1])

    def after_inner_steps(x: Tensor) -> list[Tensor]:
        parts = torch.split(x, sizes)

        def risk(parameters: dict[str, Tensor], part: Tensor) -> Tensor:
            return functional_call(module, parameters, (part,)).square().sum()

        total = torch.zeros((), dtype=torch.float64)
        for part in parts:
            inner = grad(risk)(parameters, part)
            adapted = {name: p - 0.01 * inner[name] for name, p in parameters.items()}
            total = total + risk(adapted, x.split(sizes)[-1])
        return [total, *torch.autograd.grad(total, list(parameters.values()))]

    parts = torch.split(lit(dense, channels), sizes)
    assert all(isinstance(part, LitChannels) for part in parts)
    for part, expected in zip(parts, torch.split(dense, sizes), strict=True):
        assert torch.equal(part + 0, expected)
    for found, expected in zip(after_inner_steps(lit(dense, channels)), after_inner_steps(dense), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("biases", [None, 0, 1])
def test_several_weights_at_once(biases: int | None) -> None:
    """vmap over weights, or over biases alone, and over their gradients."""
    dense, channels = images({})
    weight = torch.randn(dense.shape[1], 3, 4).double()
    bias = None if biases is None else torch.randn((3, 4) if biases == 0 else (4, 3)).double()

    def loss(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        return F.linear(x, weight.T, bias).sigmoid().square().sum()

    def first(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        return grad(loss)(weight, bias, x)

    for function in (loss, first):
        found, expected = (
            vmap(lambda w, b, x=x, f=function: f(w, b, x), in_dims=(1, biases))(weight, bias)
            for x in (lit(dense, channels), dense)
        )
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_everything_else_sees_the_dense_images() -> None:
    dense, channels = images({})
    found = lit(dense, channels)
    for view in (found + 0, found.detach(), found[:5], found.reshape(2, 60, -1), torch.cat([found, found])):
        assert type(view) is Tensor
    assert torch.equal(torch.cat([found, found]), torch.cat([dense, dense]))
    assert torch.equal(found @ torch.ones(392, 1).double(), dense @ torch.ones(392, 1).double())
    assert isinstance(lit(dense.unsqueeze(0), channels).squeeze(0), LitChannels)
    assert torch.equal(F.linear(input=found, weight=torch.eye(392).double()), dense)


def test_images_that_light_several_channels_are_of_one() -> None:
    dense, channels = images({})
    dense[5, [60, 300]] = 1
    (channel,) = lit(dense, channels).lit
    assert len(channel.rows) == len(dense)
    assert torch.equal(channel.columns, dense.any(0).nonzero().squeeze(1))
    weight, bias = torch.randn(4, 392).double(), torch.randn(4).double()
    torch.testing.assert_close(F.linear(lit(dense, channels), weight, bias), F.linear(dense, weight, bias))


def test_images_with_few_dark_pixels_stay_dense() -> None:
    dense, channels = images({"grayscale": True})
    dense[5] = 1
    assert LitChannels.of(dense, channels, dense.dtype) is dense


def test_weights_of_dark_pixels_have_no_gradient_and_bfloat16_rounds_once() -> None:
    dense, channels = images({})
    found = LitChannels.of(dense, channels, torch.bfloat16)
    weight = torch.randn(4, 392, requires_grad=True)
    rectified_linear(found, weight, torch.zeros(4)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype is torch.float32
    assert torch.equal(weight.grad[:, ~dense.any(0)], torch.zeros(4, int((~dense.any(0)).sum())))


@pytest.fixture
def skipping(monkeypatch, training):
    """Start a training that skips dark channels however small it is."""

    def start(trial: Any) -> Any:
        monkeypatch.setattr("irm_sweeps.training.stacked_data.LARGE", 0)
        run = training(trial)
        assert isinstance(run.data.batch(0, 0, 1).inputs, LitChannels)
        return run

    return start


ALL = {**AllMethods.cases, **AllMethods.noisy}


@pytest.mark.parametrize("case", ALL)
def test_a_training_is_the_same(case: str, make_trial, training, skipping, monkeypatch) -> None:
    """Every method, on three environments of five colours, up to the order of float64 sums."""
    three = ["dataset.classes=5", "dataset.p_e=[0.2,0.1,0.4]", "dataset.label_noise=[0.2,0.2,0.2]"]
    trial = make_trial(*ALL[case], *three, "dataset.side=environment")
    plain = training(trial)
    assert type(plain.data.batch(0, 0, 1).inputs) is Tensor, "too small to pay"
    expected = plain.run()
    monkeypatch.setattr("irm_sweeps.backbones.rectified_linear.LARGE", 0)
    assert_same_outcome(*skipping(trial).run(), *expected)


def test_only_a_solo_full_batch_skips(make_trial, training, monkeypatch) -> None:
    monkeypatch.setattr("irm_sweeps.training.stacked_data.LARGE", 0)
    solo, other = make_trial("seed=0"), make_trial("seed=1")
    for trials in ([solo, other], [make_trial("training.batch_size=10")]):
        assert type(training(*trials).data.batch(0, 0, 1).inputs) is Tensor


def test_products_in_bfloat16_give_bfloat16(make_trial, skipping, monkeypatch) -> None:
    """As autocast would: the layer's output is rounded, the images themselves are not."""
    run = skipping(make_trial("training.precision=bf16"))
    seen = []
    real = Point.features
    monkeypatch.setattr(Point, "features", lambda at: seen.append(real(at)) or seen[-1])
    run.run()
    assert {h.dtype for h in seen} == {torch.bfloat16}
    assert run.data.batch(0, 0, 1).inputs.dtype is torch.float32


@pytest.mark.parametrize("method", ["irmv1", "invrat_ec", "meta_irm"])
def test_bfloat16_skips_to_the_same_risks(method: str, make_trial, training, skipping) -> None:
    trial = make_trial(f"method={method}", "training.precision=bf16", "training.steps=5")
    plain, skipped = training(trial).run()[0], skipping(trial).run()[0]
    for one, other in zip(plain.history, skipped.history, strict=True):
        for key in {"risks", "meta_losses"} & set(one):
            assert one[key] == pytest.approx(other[key], rel=1e-2)


# Products of float32.


def test_float32_products_keep_float32(make_trial, training) -> None:
    """At a size where another library takes them; bfloat16 is a thousand times further from float64."""
    settings = ["dataset.n_train=400", "backbone.width=32", "training.steps=5", "method=irmv1"]
    runs = {p: training(make_trial(*settings, f"training.precision={p}")) for p in ("float64", "float32", "bf16")}
    assert all(run.data.large for run in runs.values())
    before = torch.backends.mkldnn.matmul.fp32_precision
    risks = {p: np.array([row["risks"] for row in run.run()[0].history if "risks" in row]) for p, run in runs.items()}
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    away = {p: np.abs(own / risks["float64"] - 1).max() for p, own in risks.items()}
    assert away["float32"] < 1e-5 < away["bf16"]
