"""A method in a stack, beside diverging trials and on unequal environments, for the contract of methods."""

from __future__ import annotations

import pytest

from irm_sweeps.testing.cases import (
    OPTIMIZERS,
    THREE_ENVIRONMENTS,
    TRAIN_ON_UNEQUAL,
    MethodCases,
    noting_the_fix,
)
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import assert_same_outcome, assert_same_parameters, interrupted
from irm_sweeps.testing.trials import with_cut_environment


class StackContract(MethodCases):
    """The part of `MethodContract` that compares ways to train a trial."""

    def test_a_stacked_trial_equals_its_solo_run(
        self, case: str, optimizer: str, make_trial: MakeTrial, training: Train
    ) -> None:
        """Its parameters, metrics and history are the same to 1e-9."""
        trials = self.varied(make_trial, case, *OPTIMIZERS[optimizer], "training.steps=50")
        if not trials[0].method.stacks:
            pytest.skip("it does not stack")
        assert len({trial.id for trial in trials}) == 3
        stack = training(*trials)
        outcomes = stack.run()
        for trial, outcome in zip(trials, outcomes, strict=True):
            solo = training(trial)
            assert_same_outcome(outcome, *solo.run())
            assert_same_parameters(stack, stack.trials.index(trial), solo)

    def test_a_diverging_trial_leaves_its_neighbours_alone(
        self, case: str, make_trial: MakeTrial, training: Train
    ) -> None:
        """Of four trials two diverge: one that shares the others' learning rate, and one with another rate."""
        base = ["optimizer=sgd", "training.steps=15", "optimizer.lr=0.01"]
        differences = [["seed=1"], ["seed=2", "training.l2=1e200"], ["seed=3", "optimizer.lr=1e200"], ["seed=4"]]
        trials = [self.trial(make_trial, case, *base, *overrides) for overrides in differences]
        outcomes = training(*trials).run()
        for diverging in (1, 2):
            (solo,) = training(trials[diverging]).run()
            assert outcomes[diverging].diverged_at == solo.diverged_at
            assert outcomes[diverging].steps == solo.diverged_at
            assert solo.diverged_at is not None
            assert 0 <= solo.diverged_at <= 6
            assert outcomes[diverging].metrics == {}
        for healthy in (0, 3):
            assert outcomes[healthy].diverged_at is None
            assert_same_outcome(outcomes[healthy], *training(trials[healthy]).run())

    @pytest.mark.parametrize("batch", ["null", "50"])
    def test_unequal_environments_train(self, case: str, batch: str, make_trial: MakeTrial, training: Train) -> None:
        """Alone, stacked and resumed, at full batch and in minibatches larger than the smallest environment."""
        if case in self.equal_only:
            pytest.skip(self.equal_only[case])
        more = [*THREE_ENVIRONMENTS, "training.steps=8", f"training.batch_size={batch}", "dataset.n_val=10"]
        trials = [with_cut_environment(self.trial(make_trial, case, f"seed={seed}", *more)) for seed in (1, 2)]
        solo, again = (training(trials[0]) for _ in range(2))
        assert solo.data.sizes == [60, 60, 40]
        with noting_the_fix("equal_only", case=case, fix=TRAIN_ON_UNEQUAL):
            (one,) = solo.run()
        (other,) = interrupted(again, training(trials[0]), at=4).run()
        assert one.diverged_at is None
        assert one.parameters_sha256 == other.parameters_sha256
        if trials[0].method.stacks:
            stack = training(*trials)
            assert_same_outcome(stack.run()[0], one)
            assert_same_parameters(stack, stack.trials.index(trials[0]), solo)
