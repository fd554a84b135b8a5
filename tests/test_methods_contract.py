"""What every method keeps to. A new YAML in conf/method/ is tested here without being named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from irm_sweeps.methods.method import Move
from irm_sweeps.sweep.catalogue import methods
from irm_sweeps.training.checkpoint import pack, unpack
from irm_sweeps.training.loop import Outcome, StackTraining
from irm_sweeps.training.stacked_data import StackedBatch
from irm_sweeps.trial import Trial

METHODS = [entry.name for entry in methods()]

VARIANTS = {
    "irmv1 on the hidden layer": ["method=irmv1", "method.on=hidden", "method.form=even_odd"],
    "irmv1 as released for ResNets": ["method=irmv1", "method.head=risk", "method.rescale=one_plus_weight"],
    "fishr with a moving average": ["method=fishr", "method.ema=0.95", "method.reduce=mean"],
    "invrat_ec on the output": ["method=invrat_ec", "method.on=output", "method.inner_steps=2"],
    "invrat_eb on the output": ["method=invrat_eb", "method.on=output", "method.inner_batch=same"],
    "f-irm games": ["method=irm_games", "method.variant=f"],
    "simultaneous games": ["method=irm_games", "method.order=simultaneous"],
    "meta_irm with two inner steps": ["method=meta_irm", "method.inner_steps=2", "method.same_env=true"],
}
"""Forms of the methods that play another game than their default, for the same tests."""

NOISY = {
    "meta_irm with drop_grad": ["method=meta_irm", "method.drop_grad=gaussian", "method.first_order=true"],
    "meta_irm with sampled environments": ["method=meta_irm", "method.others=1", "method.drop_grad=binary"],
}
"""Forms whose objective draws noise of its own, or has another gradient than its value's."""

CASES = {**{name: [f"method={name}"] for name in METHODS}, **VARIANTS}
ALL = {**CASES, **NOISY}

NO_ERM_AT_LAM_0 = {
    "groupdro": "it has no lam, and weights the environments",
    "irm_games": "it has no lam, and several classifiers",
    "meta_irm": "its risks are those of adapted parameters",
}

THREE = ["dataset.p_e=[0.2,0.1,0.4]", "dataset.label_noise=[0.25,0.25,0.2]"]
SMALL = {"anneal": 4, "ib_anneal": 6, "stop_warmup": 0, "emb_dim": 5, "hidden_dim": 7}
"""Values for the fields that a method may have, so that all of it happens within a few steps."""


@pytest.fixture(scope="session")
def make(make_trial):
    """Like make_trial, with `SMALL`; keywords are fields of the method, if it has them."""

    def small(overrides: list[str], *more: str, **fields: Any) -> Trial:
        own = type(make_trial(*overrides).method).model_fields
        values = {key: value for key, value in {**SMALL, **fields}.items() if key in own}
        named = [override.partition("=")[0] for override in overrides]
        return make_trial(
            *overrides,
            *(f"method.{key}={value}" for key, value in values.items() if f"method.{key}" not in named),
            *more,
        )

    return small


def advance(training: StackTraining, steps: int) -> None:
    for _ in range(steps):
        training._advance()


def play(training: StackTraining) -> Iterator[tuple[Move, Any]]:
    """Yield each move of the present step and a function that gives its turn; then make the move."""
    method = training.trials[0].method
    moves = method.moves(training.step, training.data.environments)
    if training.step in method.resets_at():
        training.parameters.assign(method.reset(training.step, training.parameters.tensors()))
    noise = training._noise()
    for move in moves:
        batch = training.data.batch(training.step, move.batch, 1 + max(m.batch for m in moves))

        def turn(players=move.players, batch=batch):
            return training._turn(players, batch, noise)

        yield move, turn
        training.parameters.move(turn().objectives)
    training.step += 1


def players_of(training: StackTraining) -> dict[str, list[str]]:
    return training.trials[0].method.players(list(training.parameters.tensors()))


# Gradients.


@pytest.mark.parametrize("case", CASES)
def test_each_player_s_gradient_is_that_of_its_objective(case: str, make, training) -> None:
    """Against central differences in float64, along a random direction in each of the player's tensors."""
    # Biases that start at zero could leave units exactly at the kink of their ReLU.
    run = training(make(CASES[case], *THREE, "dataset.n_train=20", "training.l2=0.01", "backbone.init=torch"))
    generator = torch.Generator().manual_seed(0)
    for warm_up in (2, 5):
        advance(run, warm_up - 1)
        for move, turn in play(run):
            tensors, owned = run.parameters.tensors(), players_of(run)
            objectives = turn().objectives
            assert set(objectives) == set(move.players)
            for player, objective in objectives.items():
                assert objective.shape == (1,)
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
                        values.append(turn().objectives[player].item())
                    found = (gradient * direction).sum().item()
                    assert found == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("case", ALL)
def test_players_move_their_own_parameters_only(case: str, make, training, monkeypatch) -> None:
    run = training(make(ALL[case], *THREE))
    owned, names = players_of(run), list(run.parameters.tensors())
    assert sorted(name for own in owned.values() for name in own) == sorted(names), "each has one owner"
    move, moved = run.parameters.move, set()

    def watched(objectives: Mapping[str, Tensor]) -> None:
        before = {name: tensor.detach().clone() for name, tensor in run.parameters.tensors().items()}
        move(objectives)
        changed = {name for name, t in run.parameters.tensors().items() if not torch.equal(t, before[name])}
        assert changed
        assert changed <= {name for player in objectives for name in owned[player]}
        moved.update(changed)

    monkeypatch.setattr(run.parameters, "move", watched)
    advance(run, 14)
    assert moved == set(names), "and none is idle for ever"


# Environments.


@pytest.mark.parametrize("case", CASES)
def test_environments_are_treated_alike(case: str, make, training) -> None:
    """Where what belongs to environments is equal, their order cannot matter."""
    run = training(make(CASES[case], *THREE))
    own = run.parameters.tensors()
    run.parameters.assign(symmetric(own))
    batch = run.data.batch(0, 0, 1)
    order = [2, 0, 1]

    def reordered(t: Tensor) -> Tensor:
        return t.unflatten(1, (3, -1))[:, order].flatten(1, 2)

    swapped = StackedBatch(reordered(batch.inputs), reordered(batch.labels))
    for step in (0, 50):
        found = {}, {}
        for run.step in range(step, step + 8):
            for move in run.trials[0].method.moves(run.step, 3):
                for seen, own in zip(found, (batch, swapped), strict=True):
                    seen.update({p: v.item() for p, v in run._turn(move.players, own, {}).objectives.items()})
        one, other = (sorted(seen.values()) for seen in found)
        assert len(one) == len(other) > 0
        np.testing.assert_allclose(one, other, rtol=1e-10)


def symmetric(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values under which what belongs to one environment equals what belongs to another."""
    values = {}
    for name, tensor in tensors.items():
        if name.startswith("player."):
            values[name] = tensors[name.split(".", 2)[2]].detach().clone()
        elif not name.startswith(("representation.", "head.")) and tensor.shape[1] == 3:
            values[name] = tensor.detach()[:, :1].expand_as(tensor).clone()
    return values


# lam.


@pytest.mark.parametrize("method", METHODS)
def test_without_weight_it_is_erm(method: str, make, training) -> None:
    if method in NO_ERM_AT_LAM_0:
        pytest.skip(NO_ERM_AT_LAM_0[method])
    fields = {"risk": "mean", "weight_before_anneal": 0, "ib_lam": 0, "reset_optimizer": "false"}
    common = ["lam=0", "training.l2=0", "training.steps=20"]
    one = training(make([f"method={method}"], *common, **fields))
    erm = training(make(["method=erm"], *common))
    one.run()
    erm.run()
    found = one.parameters.tensors()
    for name, expected in erm.parameters.tensors().items():
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_a_large_lam_shrinks_the_penalty(case: str, make, training) -> None:
    penalties = []
    for lam in (0, 100):
        trial = make(
            CASES[case], "dataset.n_train=300", "training.steps=80", f"lam={lam}", "optimizer.lr=0.005", ib_lam=0
        )
        (outcome,) = training(trial).run()
        logged = [row for row in outcome.history if "penalty" in row]
        if not logged:
            pytest.skip("it logs no penalty")
        penalties.append(np.mean([row["penalty"] for row in logged[-20:]]))
    assert penalties[1] < min(0.5 * penalties[0], penalties[0]), "half, where it is positive at all"


# Stacks.


def numbers(value: Any) -> list[float]:
    """Flatten a result into its numbers; None becomes NaN, which equals itself here."""
    if isinstance(value, Mapping):
        return [x for key in sorted(value) for x in numbers(value[key])]
    if isinstance(value, list | tuple):
        return [x for item in value for x in numbers(item)]
    return [] if isinstance(value, str) else [float("nan") if value is None else float(value)]


def assert_same_outcome(a: Outcome, b: Outcome) -> None:
    assert (a.steps, a.diverged_at) == (b.steps, b.diverged_at)
    for one, other in ((a.metrics, b.metrics), (a.history, b.history)):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-9, atol=1e-9)


def varied(make, overrides: list[str], *more: str) -> list[Trial]:
    """Trials that differ in everything that may differ within a stack; two of them share a learning rate."""
    differences = [
        ("seed=1", "lam=3", "optimizer.lr=0.01", "training.l2=0.001", "dataset.p_e=[0.2,0.1]"),
        ("seed=2", "lam=0", "optimizer.lr=0.002", "training.l2=0", "dataset.p_e=[0.3,0.05]"),
        ("seed=2", "lam=20", "optimizer.lr=0.01", "training.l2=0.02", "dataset.label_noise=[0.1,0.3]"),
    ]
    per_trial = type(make(overrides).method).per_trial_fields()
    anneals = (4, 60, 0) if "anneal" in per_trial else (4, 4, 4)
    inner = (0.5, 1.0, 0.1)
    return [
        make(overrides, *change, *more, anneal=anneal, inner_lr=inner_lr, reset_optimizer="false")
        for change, anneal, inner_lr in zip(differences, anneals, inner, strict=True)
    ]


HOW = {
    "adam": ["optimizer=adam"],
    "adam minibatch": ["optimizer=adam", "training.batch_size=16"],
    "sgd minibatch": ["optimizer=sgd", "training.batch_size=16"],
}


@pytest.mark.parametrize(
    ("case", "how"),
    [(case, how) for case in ALL for how in HOW if (case in METHODS) != (how == "adam minibatch")],
)
def test_a_stacked_trial_equals_its_solo_run(case: str, how: str, make, training) -> None:
    trials = varied(make, ALL[case], *HOW[how], "training.steps=50")
    if not trials[0].method.stacks:
        pytest.skip("it does not stack")
    assert len({trial.id for trial in trials}) == 3
    stack = training(*trials)
    outcomes = stack.run()
    tensors = stack.parameters.tensors()
    for trial, outcome in zip(trials, outcomes, strict=True):
        solo = training(trial)
        assert_same_outcome(outcome, *solo.run())
        row = stack.trials.index(trial)
        for name, expected in solo.parameters.tensors().items():
            torch.testing.assert_close(tensors[name][row : row + 1], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", ALL)
def test_a_diverging_trial_leaves_its_neighbours_alone(case: str, make, training) -> None:
    """One that shares their learning rate (and so their tensors), and one with a rate of its own."""
    base = ["optimizer=sgd", "training.steps=15", "optimizer.lr=0.01"]
    trials = [
        make(ALL[case], *base, "seed=1"),
        make(ALL[case], *base, "seed=2", "training.l2=1e200"),
        make(ALL[case], *base, "seed=3", "optimizer.lr=1e200"),
        make(ALL[case], *base, "seed=4"),
    ]
    outcomes = training(*trials).run()
    for lost in (1, 2):
        (solo,) = training(trials[lost]).run()
        assert outcomes[lost].diverged_at == solo.diverged_at
        assert outcomes[lost].steps == solo.diverged_at
        assert 0 <= solo.diverged_at <= 6
        assert outcomes[lost].metrics == {}
    for healthy in (0, 3):
        assert outcomes[healthy].diverged_at is None
        assert_same_outcome(outcomes[healthy], *training(trials[healthy]).run())


# Resuming.


class StopAt:
    """Take a checkpoint of every trial after a step, then end the training."""

    class Stopped(Exception):
        pass

    def __init__(self, step: int) -> None:
        self.step = step
        self.contents: list[bytes] = []

    def after_step(self, run: StackTraining) -> None:
        if run.step == self.step:
            self.contents = [pack(trial.id, *run.state(i)) for i, trial in enumerate(run.trials)]
            raise self.Stopped


@pytest.mark.parametrize(("size", "batch"), [("solo", "null"), ("stacked", "16")])
@pytest.mark.parametrize("case", ALL)
def test_resuming_changes_nothing(case: str, size: str, batch: str, make, training) -> None:
    """To the bit: 40 steps at once, and 20 + a checkpoint + 20 in a fresh training."""
    more = (
        f"training.batch_size={batch}",
        "training.steps=40",
        "training.evaluate_every=7",
        "training.log_every=3",
        "dataset.n_val=10",
    )
    if size == "solo":
        trials = [make(ALL[case], *more, anneal=20, reset_optimizer="true")]
    else:
        trials = varied(make, ALL[case], *more)
        if not trials[0].method.stacks:
            pytest.skip("it does not stack")
    straight = training(*trials).run()

    stopper = StopAt(20)
    with pytest.raises(StopAt.Stopped):
        training(*trials).run(stopper)
    resumed = training(*trials)
    resumed.restore(
        [unpack(trial.id, content) for trial, content in zip(resumed.trials, stopper.contents, strict=True)]
    )
    assert resumed.step == 20
    for one, other in zip(straight, resumed.run(), strict=True):
        assert one.parameters_sha256 == other.parameters_sha256
        assert one.metrics == other.metrics
        assert one.history == other.history
        assert one.steps == other.steps == 40
