"""What a method minimises: gradients, players, environments and lam, for the contract of methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from irm_sweeps.methods.method import STATE
from irm_sweeps.testing.cases import THREE_ENVIRONMENTS, TRAIN_ON_UNEQUAL, MethodCases, noting_the_fix
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import advance, assert_same_parameters, play, players_of, symmetric
from irm_sweeps.testing.trials import with_doubled_environment
from irm_sweeps.training.parameters import Combine
from irm_sweeps.training.stacked_data import StackedBatch

_FINITE_FOR_ONE_IMAGE = "a single image has no variance: count it as 0 (of its square root the gradient is nan too)"


class ObjectiveContract(MethodCases):
    """The part of `MethodContract` that looks at objectives and at the parameters that they lead to."""

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
                    for name, leaf, gradient in zip(owned[player], leaves, gradients, strict=True):
                        direction = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
                        direction /= direction.norm()
                        values = []
                        for step in (1e-6, -2e-6, 1e-6):
                            leaf.data += step * direction
                            values.append(turn().objectives[player].sum().item())
                        along_direction = (gradient * direction).sum().item()
                        expected = pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-7)
                        assert along_direction == expected, (
                            f"the gradient of {player!r} for {name!r} is not that of its objective: look for detach() "
                            "or no_grad(); a method whose gradient is meant to be another one is a case of `noisy`"
                        )

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
        with noting_the_fix("no_erm_at_lam_0", case=method, fix="make it ERM at lam=0"):
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
        with noting_the_fix("equal_only", case=exact, fix=TRAIN_ON_UNEQUAL):
            unequal.run()
        with noting_the_fix("size_matters", case=exact, fix="make each environment count by a mean over its images"):
            of_images = trial.method.image_parameters(1, torch.Generator())
            assert_same_parameters(equal, 0, unequal, but=of_images)

    @pytest.mark.parametrize(("batches", "batch"), [("per_environment", 1), ("pooled", 3)])
    def test_one_image_per_environment_gives_finite_numbers(
        self, case: str, batches: str, batch: int, make_trial: MakeTrial, training: Train
    ) -> None:
        """Objectives and gradients, with one image of each environment; pooled, with some environments absent."""
        if case in self.needs_several_images or (batches == "pooled" and case in self.equal_only):
            pytest.skip({**self.equal_only, **self.needs_several_images}[case])
        more = (f"training.batches={batches}", f"training.batch_size={batch}", "training.l2=0.001")
        run = training(self.trial(make_trial, case, *THREE_ENVIRONMENTS, *more))
        with noting_the_fix("needs_several_images", case=case, fix=_FINITE_FOR_ONE_IMAGE):
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
