"""While a stage freezes the encoder its steps share one pass: fewer passes, and the bits of a pass for each step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import advance
from irm_sweeps.training.loop import StackTraining

EIIL = ["method=eiil", "method.reference_steps=2", "method.inference_steps=5", "training.steps=9"]
RFC = [
    "method=rfc",
    "method.frozen=true",
    "method.discovery_steps=1",
    "method.second_discovery_steps=1",
    "method.synthesis_steps=1",
    "training.steps=8",
]
FROZEN = {"eiil": (EIIL, range(2, 7)), "rfc": (RFC, range(3, 8))}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of inputs of the encoder's passes so far."""
    sizes: list[int] = []
    represent = Model.represent

    def counted(self: Model, parameters: Any, x: Any, **more: Any) -> Any:
        sizes.append(len(x))
        return represent(self, parameters, x, **more)

    monkeypatch.setattr(Model, "represent", counted)
    return sizes


def per_step(run: StackTraining, passes: list[int], steps: int) -> list[int]:
    """The passes of each of the next steps."""
    found = []
    for _ in range(steps):
        passes.clear()
        advance(run, 1)
        found.append(len(passes))
    return found


def assert_same(one: StackTraining, other: StackTraining) -> None:
    for name, value in one.parameters.tensors().items():
        assert torch.equal(value, other.parameters.tensors()[name]), name


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("precision", ["float64", "bf16"])
def test_the_steps_of_a_frozen_stage_share_a_pass(
    name: str, precision: str, make_trial: MakeTrial, training: Train, passes: list[int]
) -> None:
    overrides, frozen = FROZEN[name]
    trial = make_trial(*overrides, f"training.precision={precision}")
    run, apart = training(trial), training(trial)
    apart._passes._repeats = False
    steps = trial.training.steps or 0
    predicting = [int(name == "rfc" and step in (1, 2)) for step in range(steps)]  # those of `enter`
    training_ones = [int(step not in frozen or step == frozen[0]) for step in range(steps)]
    assert per_step(run, passes, steps) == [a + b for a, b in zip(predicting, training_ones, strict=True)]
    assert per_step(apart, passes, steps) == [a + 1 for a in predicting]
    assert_same(run, apart)


@pytest.mark.parametrize("name", FROZEN)
def test_a_training_that_goes_on_in_a_frozen_stage_has_the_same_bits(
    name: str, make_trial: MakeTrial, training: Train
) -> None:
    overrides, frozen = FROZEN[name]
    trial = make_trial(*overrides)
    whole, first, second = training(trial), training(trial), training(trial)
    advance(first, frozen[2])
    advance(second, frozen[1])  # with a pass of its own parameters, which `restore` forgets
    second.restore([first.state(0)])
    advance(second, (trial.training.steps or 0) - frozen[2])
    advance(whole, trial.training.steps or 0)
    assert_same(whole, second)


def test_minibatches_and_stacks_have_their_own_passes(
    make_trial: MakeTrial, training: Train, passes: list[int]
) -> None:
    batches = training(make_trial(*RFC, "training.batch_size=16"))
    assert per_step(batches, passes, 8)[3:] == [1] * 5
    stack = training(*(make_trial(*RFC, f"seed={seed}") for seed in (1, 2)))
    assert per_step(stack, passes, 8)[3:] == [1] * 5
