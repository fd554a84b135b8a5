"""A linear layer and its ReLU as one operation: values, first and second derivatives, several weights at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from irm_sweeps.backbones import rectified_linear as room
from irm_sweeps.backbones.rectified_linear import HiddenLayers, rectified_linear
from irm_sweeps.device import quick_products, rectifies_while_multiplying

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LARGE", 0)


def two(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.relu(F.linear(x, weight, bias))


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_derivatives_equal_those_of_two_operations() -> None:
    tensors = [drawn(20, 5).requires_grad_(), drawn(4, 5).requires_grad_(), drawn(4).requires_grad_()]
    vectors = [drawn(*tensor.shape) for tensor in tensors]

    def derivatives(layer: Layer) -> list[Tensor]:
        output = layer(*tensors)
        first = torch.autograd.grad(output.square().sum(), tensors, create_graph=True)
        along = sum((g * v).sum() for g, v in zip(first, vectors, strict=True))
        return [output, *first, *torch.autograd.grad(along, tensors)]

    assert "_RectifiedLinear" in str(rectified_linear(*tensors).grad_fn)
    for found, expected in zip(derivatives(rectified_linear), derivatives(two), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("in_dims", [(None, 0, 0), (0, None, None), (1, 0, None)])
def test_several_at_once(in_dims: tuple[int | None, ...]) -> None:
    shapes = [(20, 5), (4, 5), (4,)]
    own = [drawn(*s) if d is None else drawn(*s[:d], 3, *s[d:]) for s, d in zip(shapes, in_dims, strict=True)]

    def gradient(layer: Layer) -> Tensor:
        def loss(weight: Tensor, x: Tensor, bias: Tensor) -> Tensor:
            return layer(x, weight, bias).sigmoid().square().sum()

        return vmap(lambda x, w, b: grad(loss)(w, x, b), in_dims)(*own)

    torch.testing.assert_close(gradient(rectified_linear), gradient(two), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_one_kernel_gives_the_values_of_two(dtype: torch.dtype, rounding: float) -> None:
    if not rectifies_while_multiplying():
        pytest.skip("this processor's library has no such kernel that keeps float32")
    x, weight, bias = (t.to(dtype) for t in (drawn(300, 50), drawn(40, 50), drawn(40)))
    with quick_products():
        found = rectified_linear(x, weight, bias)
    exact = two(x.double(), weight.double(), bias.double())
    assert found.dtype is dtype
    torch.testing.assert_close(found.double(), exact, rtol=rounding, atol=20 * rounding)


def test_a_network_in_mixed_precision_and_in_evaluation() -> None:
    torch.manual_seed(0)
    network = HiddenLayers(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU())
    parameters, x = dict(network.named_parameters()), torch.randn(7, 2, 3)
    assert list(parameters) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    plain = nn.Sequential(*network)(x)
    torch.testing.assert_close(functional_call(network, parameters, (x,)), plain)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(x)
    mixed.float().sum().backward()
    assert mixed.dtype is torch.bfloat16
    assert parameters["1.weight"].grad is not None
    assert parameters["1.weight"].grad.dtype is torch.float32
    torch.testing.assert_close(mixed.float(), plain, rtol=2e-2, atol=2e-2)
    assert torch.equal(network.eval()(x), plain)
