"""A method whose moves are compiled, for the contract of methods."""

from __future__ import annotations

import pytest

from irm_sweeps.testing.cases import MethodCases
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import assert_same_outcome, assert_same_parameters
from irm_sweeps.training import moves


class CompiledContract(MethodCases):
    """The part of `MethodContract` that compiles."""

    def test_a_compiled_trial_equals_its_plain_run(
        self, case: str, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its parameters, metrics and history are the same to 1e-9 when torch's compiler traces it."""
        monkeypatch.setattr(moves, "BACKEND", "aot_eager")  # makes no machine code, which would take seconds a case
        trial = self.trial(make_trial, case, "training.steps=12", "training.l2=0.01")
        if not trial.method.compiles:
            pytest.skip("it says that it cannot be compiled")
        one, other = training(trial, compiled=True), training(trial)
        assert_same_outcome(*one.run(), *other.run())
        assert_same_parameters(one, 0, other)
