"""Which functions have been replaced is told once, look after look, and what came in the meantime is looked at too."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from irm_sweeps.process_state.replaced import PACKAGES, Functions, _is_watched_class


def one(x: Any) -> Any:
    return x


def two(x: Any) -> Any:
    return [x]


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of torch's that is imported after the first look."""
    module = ModuleType("torch.late")
    module.function = one
    module.Late = type("Late", (torch.nn.Module,), {"__module__": "torch.late", "method": one})
    return module


def test_each_look_tells_what_has_changed_since_the_last(monkeypatch: pytest.MonkeyPatch, late: ModuleType) -> None:
    functions = Functions()
    assert functions.replaced() == frozenset()
    monkeypatch.setattr(torch.nn.functional, "relu", one)
    monkeypatch.setattr(torch.Tensor, "__add__", one)
    monkeypatch.setattr(torch.nn.ReLU.forward, "__code__", two.__code__)
    told = {"torch.nn.functional.relu", "torch.Tensor.__add__", "torch.nn.modules.activation.ReLU.forward"}
    assert functions.replaced() == told
    assert functions.replaced() == frozenset()
    monkeypatch.setitem(sys.modules, "torch.late", late)
    assert functions.replaced() == frozenset()
    late.function, late.Late.method = two, two
    assert functions.replaced() == {"torch.late.function", "torch.late.Late.method"}


def test_a_function_in_place_of_another_of_the_same_values_is_told(late: ModuleType) -> None:
    sys.modules["torch.late"] = late
    try:
        functions = Functions()
        late.hypot = late.__dict__.pop("function")
        assert functions.replaced() == {"torch.late.function"}
        late.hypot, late.open = two, one
        assert functions.replaced() == {"torch.late.hypot", "torch.late.open"}
    finally:
        del sys.modules["torch.late"]


class Equal:
    """What says of everything that it is equal to it, at a price."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = object.__hash__

    def __call__(self) -> None:
        """Do nothing."""


def test_it_is_identity_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = Functions()
    monkeypatch.setattr(torch.nn.functional, "relu", Equal())
    assert functions.replaced() == {"torch.nn.functional.relu"}
    monkeypatch.setattr(torch.nn.functional, "relu", Equal())
    assert functions.replaced() == {"torch.nn.functional.relu"}


def test_classes_that_are_not_looked_at_cannot_be_changed() -> None:
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES]
    classes = {value for module in modules for value in vars(module).values() if issubclass(type(value), type)}
    left_out = [one for one in classes if one.__module__.partition(".")[0] in PACKAGES and not _is_watched_class(one)]
    assert {torch.FloatTensor, np.ndarray} <= set(left_out)
    for one_of_them in left_out:
        with pytest.raises(TypeError, match="immutable"):
            one_of_them.new_attribute = one
