"""The contract of a method as a test class: subclass `MethodContract` and name the methods to test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from irm_sweeps.methods.method import STATE
from irm_sweeps.testing.cases import OPTIMIZERS, SMALL, THREE_ENVIRONMENTS, MethodCases
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import (
    advance,
    assert_same_outcome,
    assert_same_parameters,
    interrupted,
    play,
    players_of,
    symmetric,
)
from irm_sweeps.testing.trials import with_cut_environment, with_doubled_environment
from irm_sweeps.training import moves
from irm_sweeps.training.parameters import Combine
from irm_sweeps.training.stacked_data import StackedBatch

__all__ = ["OPTIMIZERS", "SMALL", "THREE_ENVIRONMENTS", "MethodContract"]

_TRAIN_ON_UNEQUAL = "make it train on environments of unequal size, with `means`, `split` or `each` of `at.batch`"

_FINITE_FOR_ONE_IMAGE = "a single image has no variance: count it as 0 (of its square root the gradient is nan too)"


@contextmanager
def _noting_the_fix(attribute: str, case: str, fix: str) -> Iterator[None]:
    """Add a note to a failure: how to mend the method, or which attribute of the test class excuses the case."""
    try:
        yield
    except Exception as error:
        excuse = f"{attribute} = {{{case!r}: '...'}}"
        error.add_note(f"{case}: {fix}; or, if it cannot, say why in the test class:\n    {excuse}")
        raise


class MethodContract(MethodCases):
    """The tests that every method has to pass: gradients, players, environments, lam, stacks, divergence, resuming.

    Attributes
    ----------
    cases
        The methods to test: overrides, e.g. `["method=mine"]`, by a name for the report. More overrides choose a form
        of a method that plays another game.
    noisy
        Further cases, whose objective draws noise or has a gradient that is not its value's. Tests of the objective's
        exact values leave them out.
    small
        Values for fields of the methods with which all their stages begin within a few steps: of the tests that train,
        most take 12 to 50 steps.
    no_erm_at_lam_0
        Cases that differ from ERM at `lam=0`, with the reason.
    size_matters
        Cases that train differently when every image of an environment is there twice, with the reason.
    equal_only
        Cases that need equally many images of all environments, with the reason. Such a method should raise a
        `UserError` for other data.
    slow_penalty
        Cases whose penalty a large lam does not halve within 80 steps, with the reason.
    needs_several_images
        Cases whose objective is not defined where an environment has a single image in a batch, with the reason. Such
        a method should raise a `UserError` for it.
    """

    def test_each_player_s_gradient_is_that_of_its_objective(
        self, exact: str, make_trial: MakeTrial, training: Train
    ) -> None:
        """Compare it with central differences in float64, along a random direction in each of the player's tensors."""
        # `init=torch`: biases that start at zero could leave units exactly at the kink of their ReLU.
        smooth = ("dataset.n_train=20", "training.l2=0.01", "backbone.init=torch")
        run = training(self.trial(make_trial, exact, *THREE_ENVIRONMENTS, *smooth))
        generator = torch.Generator().manual_seed(0)
        for warm_up in (2, 5):
            advance(run, warm_up - 1)
            for move, turn in play(run):
                tensors, owned = run.parameters.tensors(), players_of(run)
                objectives = turn().objectives
                assert set(objectives) == set(move.players)
                for player, objective in objectives.items():
                    assert objective.shape == (1,) or run.game.combines
                    leaves = [tensors[name] for name in owned[player]]
                    gradients = torch.autograd.grad(
                        objective.sum(), leaves, allow_unused=True, materialize_grads=True, retain_graph=True
                    )
                    for leaf, gradient in zip(leaves, gradients, strict=True):
                        direction = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
                        direction /= direction.norm()
                        values = []
                        for step in (1e-6, -2e-6, 1e-6):
                            leaf.data += step * direction
                            values.append(turn().objectives[player].sum().item())
                        along_direction = (gradient * direction).sum().item()
                        assert along_direction == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-7)

    def test_players_move_their_own_parameters_only(
        self, case: str, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each tensor has one player, who moves it sooner or later; a method's state (`state.NAME`) needs none."""
        run = training(self.trial(make_trial, case, *THREE_ENVIRONMENTS))
        owned = players_of(run)
        moving = [name for names in owned.values() for name in names]
        names = [name for name in run.parameters.tensors() if name in moving or not name.startswith(STATE)]
        assert sorted(moving) == sorted(names), "each tensor has one player"
        move, moved = run.parameters.move, set()

        def watched(objectives: Mapping[str, Tensor], combine: Combine | None = None) -> None:
            before = {name: tensor.detach().clone() for name, tensor in run.parameters.tensors().items()}
            move(objectives, combine)
            changed = {name for name, t in run.parameters.tensors().items() if not torch.equal(t, before[name])}
            assert changed
            assert changed <= {name for player in objectives for name in owned[player]}
            moved.update(changed)

        monkeypatch.setattr(run.parameters, "move", watched)
        advance(run, 14)
        assert moved == set(names), "each tensor is moved"

    def test_environments_are_treated_alike(self, exact: str, make_trial: MakeTrial, training: Train) -> None:
        """Reordering the environments changes no objective where their own parameters are equal."""
        run = training(self.trial(make_trial, exact, *THREE_ENVIRONMENTS))
        run.parameters.assign(symmetric(run.parameters.tensors()))
        batch = run.data.batch(0, 0, 1)
        order = [2, 0, 1]

        def reordered(t: Tensor) -> Tensor:
            environments: Tensor = t.unflatten(1, (3, -1))
            return environments[:, order].flatten(1, 2)

        side = None if batch.side is None else reordered(batch.side)
        swapped = StackedBatch(
            reordered(batch.inputs), reordered(batch.labels), reordered(batch.index), batch.counts, side
        )
        for step in (0, 50):
            objectives: tuple[dict[str, float], dict[str, float]] = {}, {}
            for run.step in range(step, step + 8):
                noise = run.noise()
                for move in run.moves():
                    for values, seen in zip(objectives, (batch, swapped), strict=True):
                        turn = run.game.turn(move.players, run.parameters.tensors(), run.scene(seen, noise))
                        values.update({player: value.sum().item() for player, value in turn.objectives.items()})
            one, other = (sorted(values.values()) for values in objectives)
            assert len(one) == len(other) > 0
            np.testing.assert_allclose(one, other, rtol=1e-10)

    def test_without_weight_it_is_erm(self, method: str, make_trial: MakeTrial, training: Train) -> None:
        """At `lam=0` it trains to the parameters of ERM."""
        if method in self.no_erm_at_lam_0:
            pytest.skip(self.no_erm_at_lam_0[method])
        fields = {"risk": "mean", "weight_before_anneal": 0, "ib_lam": 0, "reset_optimizer": "false"}
        common = ["lam=0", "training.l2=0", "training.steps=20"]
        one = training(self.trial(make_trial, method, *common, **fields))
        erm = training(make_trial("method=erm", *common))
        one.run()
        erm.run()
        fix = "make it ERM at lam=0"
        with _noting_the_fix("no_erm_at_lam_0", case=method, fix=fix):
            assert_same_parameters(one, 0, erm)

    def test_a_large_lam_shrinks_the_penalty(self, exact: str, make_trial: MakeTrial, training: Train) -> None:
        """The penalty falls below half of what it is at `lam=0`; one that is negative there, below that value."""
        if exact in self.slow_penalty:
            pytest.skip(self.slow_penalty[exact])
        penalties = []
        for lam in (0, 100):
            more = ("dataset.n_train=300", "training.steps=80", f"lam={lam}", "optimizer.lr=0.005")
            (outcome,) = training(self.trial(make_trial, exact, *more, ib_lam=0)).run()
            logged = [row for row in outcome.history if "penalty" in row]
            if not logged:
                pytest.skip("it logs no penalty")
            penalties.append(np.mean([row["penalty"] for row in logged[-20:]]))
        assert penalties[1] < min(0.5 * penalties[0], penalties[0])

    def test_an_environment_weighs_the_same_however_large(
        self, exact: str, make_trial: MakeTrial, training: Train
    ) -> None:
        """With `risk=mean`, training with every image of one environment there twice gives the same parameters."""
        if reason := {**self.size_matters, **self.equal_only}.get(exact):
            pytest.skip(reason)
        trial = self.trial(make_trial, exact, *THREE_ENVIRONMENTS, "training.l2=0.001", risk="mean")
        equal, unequal = training(trial), training(with_doubled_environment(trial))
        assert unequal.data.sizes == [60, 120, 60]
        equal.run()
        with _noting_the_fix("equal_only", case=exact, fix=_TRAIN_ON_UNEQUAL):
            unequal.run()
        with _noting_the_fix("size_matters", case=exact, fix="make each environment count by a mean over its images"):
            of_images = trial.method.image_parameters(1, torch.Generator())
            assert_same_parameters(equal, 0, unequal, but=of_images)

    @pytest.mark.parametrize("batch", ["null", "50"])
    def test_unequal_environments_train(self, case: str, batch: str, make_trial: MakeTrial, training: Train) -> None:
        """Alone, stacked and resumed, at full batch and in minibatches larger than the smallest environment."""
        if case in self.equal_only:
            pytest.skip(self.equal_only[case])
        more = [*THREE_ENVIRONMENTS, "training.steps=8", f"training.batch_size={batch}", "dataset.n_val=10"]
        trials = [with_cut_environment(self.trial(make_trial, case, f"seed={seed}", *more)) for seed in (1, 2)]
        solo, again = (training(trials[0]) for _ in range(2))
        assert solo.data.sizes == [60, 60, 40]
        with _noting_the_fix("equal_only", case=case, fix=_TRAIN_ON_UNEQUAL):
            (one,) = solo.run()
        (other,) = interrupted(again, training(trials[0]), at=4).run()
        assert one.diverged_at is None
        assert one.parameters_sha256 == other.parameters_sha256
        if trials[0].method.stacks:
            stack = training(*trials)
            assert_same_outcome(stack.run()[0], one)
            assert_same_parameters(stack, stack.trials.index(trials[0]), solo)

    @pytest.mark.parametrize(("batches", "batch"), [("per_environment", 1), ("pooled", 3)])
    def test_one_image_per_environment_gives_finite_numbers(
        self, case: str, batches: str, batch: int, make_trial: MakeTrial, training: Train
    ) -> None:
        """Objectives and gradients, with one image of each environment; pooled, with some environments absent."""
        if case in self.needs_several_images or (batches == "pooled" and case in self.equal_only):
            pytest.skip({**self.equal_only, **self.needs_several_images}[case])
        more = (f"training.batches={batches}", f"training.batch_size={batch}", "training.l2=0.001")
        run = training(self.trial(make_trial, case, *THREE_ENVIRONMENTS, *more))
        with _noting_the_fix("needs_several_images", case=case, fix=_FINITE_FOR_ONE_IMAGE):
            for step in range(12):
                for _, turn in play(run):
                    tensors, owned = run.parameters.tensors(), players_of(run)
                    for player, objective in turn().objectives.items():
                        leaves = [tensors[name] for name in owned[player]]
                        gradients = torch.autograd.grad(
                            objective.sum(), leaves, allow_unused=True, materialize_grads=True, retain_graph=True
                        )
                        assert objective.isfinite().all(), f"the objective of {player} at step {step}"
                        assert all(g.isfinite().all() for g in gradients), f"a gradient of {player} at step {step}"

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
