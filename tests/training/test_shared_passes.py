"""While a stage freezes the encoder its steps share one pass: fewer passes, and the bits of a pass for each step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frozen_games import FROZEN_FROM, AsksFirst, DroppingOut, FrozenFromTwo
from irm_sweeps import Method
from irm_sweeps.backbones.backbone import Model
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import advance
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

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


def of(trial: Trial, method: Method) -> Trial:
    return trial.model_copy(update={"method": method})


@pytest.mark.parametrize(("deed", "in_a_frozen_step"), [("none", 0), ("gradient", 0), ("inputs", 1), ("parameters", 1)])
def test_features_of_other_inputs_or_parameters_are_computed(
    deed: str, in_a_frozen_step: int, make_trial: MakeTrial, training: Train, passes: list[int]
) -> None:
    trial = of(make_trial("training.steps=7", "training.l2=0"), FrozenFromTwo.model_validate({"deed": deed}))
    shared, apart = training(trial), training(trial)
    for step in range(7):
        apart._passes.clear()
        passes.clear()
        advance(apart, 1)
        passes.clear()
        advance(shared, 1)
        assert step <= FROZEN_FROM or len(passes) == in_a_frozen_step
        assert_same(shared, apart)
    stack = training(trial, trial.model_copy(update={"seed": trial.seed + 1}))  # shares nothing
    advance(stack, 7)
    for name, value in shared.parameters.tensors().items():
        torch.testing.assert_close(value[0], stack.parameters.tensors()[name][0], rtol=1e-9, atol=1e-12)


def test_features_that_were_computed_without_gradients_do_not_freeze_the_encoder(
    make_trial: MakeTrial, training: Train
) -> None:
    method = AsksFirst.model_validate({"deed": "none"})
    run = training(of(make_trial("training.steps=7", "training.l2=0"), method))
    before = {name: tensor.detach().clone() for name, tensor in run.parameters.tensors().items()}
    advance(run, 1)
    moved = {name for name, tensor in run.parameters.tensors().items() if not torch.equal(tensor, before[name])}
    assert moved == before.keys()


def test_a_frozen_encoder_with_dropout_drops_other_units_in_each_step(
    make_trial: MakeTrial, training: Train, passes: list[int]
) -> None:
    trial = of(make_trial("training.steps=7"), FrozenFromTwo.model_validate({"deed": "none"}))
    fields = {name: value for name, value in trial.backbone if name != "target"}
    run = training(trial.model_copy(update={"backbone": DroppingOut.model_validate(fields)}))
    assert per_step(run, passes, 7)[FROZEN_FROM:] == [1] * 5
