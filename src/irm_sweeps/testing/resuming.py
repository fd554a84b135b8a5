"""A method that is interrupted and resumed, for the contract of methods."""

from __future__ import annotations

import pytest

from irm_sweeps.testing.cases import MethodCases
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import interrupted


class ResumingContract(MethodCases):
    """The part of `MethodContract` that interrupts trainings."""

    @pytest.mark.parametrize(("size", "batch"), [("solo", "null"), ("stacked", "16")])
    def test_resuming_changes_nothing(
        self, case: str, size: str, batch: str, make_trial: MakeTrial, training: Train
    ) -> None:
        """40 steps at once give the same bits as 20, a checkpoint, and 20 in a new training."""
        more = (
            f"training.batch_size={batch}",
            "training.steps=40",
            "training.evaluate_every=7",
            "training.log_every=3",
            "dataset.n_val=10",
        )
        if size == "solo":
            trials = [self.trial(make_trial, case, *more, anneal=20, reset_optimizer="true")]
        else:
            trials = self.varied(make_trial, case, *more)
            if not trials[0].method.stacks:
                pytest.skip("it does not stack")
        straight = training(*trials).run()
        resumed = interrupted(training(*trials), training(*trials), at=20)
        for one, other in zip(straight, resumed.run(), strict=True):
            assert one.parameters_sha256 == other.parameters_sha256
            assert one.metrics == other.metrics
            assert one.history == other.history
            assert one.steps == other.steps == 40

    def test_resuming_in_any_stage_changes_nothing(self, case: str, make_trial: MakeTrial, training: Train) -> None:
        """A training interrupted where a stage begins, before or after its first step, goes on to the same bits."""
        trial = self.trial(make_trial, case, "training.steps=14", "training.batch_size=16", anneal=9)
        firsts = {stage.first_step(14) for stage in trial.method.stages()}
        late = [stage.name for stage in trial.method.stages() if stage.first_step(14) >= 14]
        delays = {name: 2 for name, value in trial.method if type(value) is int and value >= 14}
        assert not late, (
            f"{late} begin after step 14: give the fields that delay them small values in the test class:\n"
            f"    small = {delays or '{...}'}"
        )
        (straight,) = training(trial).run()
        for at in sorted({at for first in firsts for at in (first, first + 1) if 0 < at < 14}):
            (resumed,) = interrupted(training(trial), training(trial), at=at).run()
            assert (at, resumed.parameters_sha256) == (at, straight.parameters_sha256)
            assert resumed.history == straight.history
