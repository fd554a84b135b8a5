"""PWCCA against closed cases and scikit-learn, and the similarity scores of a trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import small_sst2
from irm_sweeps.commands.show import scores_table
from irm_sweeps.errors import UserError
from irm_sweeps.store.result import Result
from irm_sweeps.store.schema import SCHEMA
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.training.pwcca import Side, canonical_correlations, pwcca


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def similarity(x: Tensor, y: Tensor) -> float:
    value = pwcca(Side.of(x), Side.of(y))
    assert value is not None
    return value


# The definition.


@pytest.mark.parametrize("width", [1, 3, 40])
def test_a_representation_is_like_itself_under_any_invertible_map(width: int) -> None:
    x = normal(0, 500, width)
    assert similarity(x, x) == pytest.approx(1, abs=1e-9)
    assert similarity(x, x @ normal(1, width, width) + normal(2, width)) == pytest.approx(1, abs=1e-9)
    assert similarity(1e-6 * x, 1e6 * x) == pytest.approx(1, abs=1e-9)


def test_orthogonal_subspaces_are_unlike() -> None:
    basis = torch.linalg.qr(torch.cat([torch.ones(100, 1, dtype=torch.float64), normal(0, 100, 12)], 1))[0][:, 1:]
    assert similarity(basis[:, :5], basis[:, 5:]) == pytest.approx(0, abs=1e-12)
    assert similarity(basis[:, :5], basis[:, :8]) == pytest.approx(1, abs=1e-9), "a part of a larger one"


def test_single_units_have_pearsons_correlation() -> None:
    x, y = normal(0, 200, 1), normal(1, 200, 1) + 0.7 * normal(0, 200, 1)
    expected = abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1])
    assert similarity(x, y) == pytest.approx(expected, abs=1e-12)
    assert similarity(x, -3 * y + 1) == pytest.approx(expected, abs=1e-12)


def test_canonical_correlations_are_scikit_learns() -> None:
    """CCA of the shared signal in both; theirs by an iteration, ours by a decomposition."""
    from sklearn.cross_decomposition import CCA

    signal = normal(0, 400, 3)
    x = torch.cat([signal, normal(1, 400, 2)], 1) @ normal(2, 5, 5)
    y = signal @ normal(3, 3, 4) + 0.5 * normal(4, 400, 4)
    ours, _ = canonical_correlations(Side.of(x), Side.of(y))
    a, b = CCA(n_components=4, max_iter=100_000, tol=1e-14).fit_transform(x.numpy(), y.numpy())
    theirs = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(4)]
    assert ours.tolist() == pytest.approx(theirs, abs=1e-5)


def test_it_is_the_weighted_mean_of_the_definition() -> None:
    """Written out with numpy: variates by solving the generalised eigenvalue problem."""
    x, y = normal(0, 300, 3).numpy(), normal(1, 300, 5).numpy()
    y[:, 0] += 2 * x[:, 0]
    y[:, 1] -= 0.3 * x[:, 2]
    x, y = x - x.mean(0), y - y.mean(0)
    sxx, syy, sxy = x.T @ x, y.T @ y, x.T @ y
    squares, directions = np.linalg.eig(np.linalg.solve(sxx, sxy) @ np.linalg.solve(syy, sxy.T))
    variates = x @ directions
    variates /= np.linalg.norm(variates, axis=0)
    weights = np.abs(variates.T @ x).sum(1)
    expected = (weights / weights.sum() * np.sqrt(squares)).sum()
    assert similarity(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected, abs=1e-9)
    assert similarity(torch.tensor(y), torch.tensor(x)) == pytest.approx(expected, abs=1e-9), "the smaller side's"


def test_weights_are_the_units_share() -> None:
    """Two uncorrelated units of scales 3 and 1, of which only the large one is shared: 3 / 4."""
    basis = torch.linalg.qr(torch.cat([torch.ones(50, 1, dtype=torch.float64), normal(0, 50, 3)], 1))[0][:, 1:]
    x = basis[:, :2] * torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert similarity(x, basis[:, [0, 2]]) == pytest.approx(3 / 4, abs=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_dead_and_doubled_units_change_nothing(constant: float) -> None:
    x, y = normal(0, 300, 4).float(), normal(1, 300, 6).float()
    y[:, :2] += x[:, :2]
    expected = similarity(x, y)
    dead = torch.full((300, 2), constant)
    assert similarity(x, torch.cat([dead, y], 1)) == pytest.approx(expected, abs=1e-6)
    assert similarity(torch.cat([x, dead], 1), y) == pytest.approx(expected, abs=1e-6)
    assert similarity(x, torch.cat([y, y[:, :3] + y[:, 1:4]], 1)) == pytest.approx(expected, abs=1e-6)


def test_nothing_can_be_said_of_a_constant_side() -> None:
    assert pwcca(Side.of(torch.ones(50, 3)), Side.of(normal(0, 50, 3))) is None
    assert pwcca(Side.of(normal(0, 50, 3)), Side.of(torch.zeros(50, 1))) is None


def test_unrelated_representations_are_as_like_as_chance_allows() -> None:
    value = similarity(normal(0, 20_000, 10), normal(1, 20_000, 10))
    assert 0 < value < 3 * (10 / 20_000) ** 0.5


# The measures of a trial.

NINE = "dataset.test_p_e=[0.1,0.5,0.9]"


def scores_of(run: StackTraining, trial: int = 0, rule: str = "last") -> dict:
    return run.run()[trial].metrics[rule]["scores"]


def test_environments_are_compared_with_the_first(make_trial, training) -> None:
    trial = make_trial("method=erm", "training.similarity=environments", NINE)
    run = training(trial)
    scores = scores_of(run)["representation"]
    assert list(scores) == ["0.1", "0.5", "0.9"]
    assert scores["0.1"]["pwcca"] == pytest.approx(1)
    assert 0 < scores["0.9"]["pwcca"] < scores["0.5"]["pwcca"] < 1, "further apart, less alike"
    test = trial.dataset.draw(trial.seed, Path("none")).held_out["test"]
    parameters = {name: p[0].detach() for name, p in run.parameters.tensors().items()}
    features = [
        run.model.represent(parameters, torch.from_numpy(test.inputs[test.environments[name].index]).double())
        for name in ("0.1", "0.9")
    ]
    assert scores["0.9"]["pwcca"] == pytest.approx(similarity(*features), abs=1e-9)


def test_irmv1s_representation_is_its_logit(make_trial, training) -> None:
    """Unless the classifier head is what it makes invariant: then the head's input."""
    runs = [
        training(make_trial("method=irmv1", f"method.on={on}", "training.similarity=environments", "training.steps=1"))
        for on in ("output", "hidden")
    ]
    for run, on in zip(runs, ("output", "hidden"), strict=True):
        scores = scores_of(run)["representation"]["0.9"]["pwcca"]
        test = run.trials[0].dataset.draw(0, Path("none")).held_out["test"]
        parameters = {name: p[0].detach() for name, p in run.parameters.tensors().items()}
        first, last = (
            run.model.represent(parameters, torch.from_numpy(test.inputs[e.index]).double())
            for e in test.environments.values()
        )
        if on == "output":
            first, last = (run.model.classify(parameters, h).unsqueeze(1) for h in (first, last))
            assert scores == pytest.approx(abs(torch.corrcoef(torch.cat([first, last], 1).mT)[0, 1].item()), abs=1e-9)
        assert scores == pytest.approx(similarity(first, last), abs=1e-9)


def test_layers_before_and_after_the_inner_step(make_trial, training) -> None:
    """Against gradients taken one environment at a time; the mean over both."""
    trial = make_trial("method=meta_irm", "training.similarity=inner_step", "method.inner_lr=0.7", "training.steps=3")
    run = training(trial)
    scores = scores_of(run)["inner_step"]
    assert list(scores) == ["layer1", "layer2", "classifier"]
    data = trial.dataset.draw(trial.seed, Path("none"))
    parameters = {name: p[0].detach().requires_grad_() for name, p in run.parameters.tensors().items()}
    found: dict[str, list[float]] = {name: [] for name in scores}
    for x, y in zip(torch.from_numpy(data.inputs).double(), torch.from_numpy(data.labels), strict=True):
        logits = run.model.classify(parameters, run.model.represent(parameters, x))
        risk = torch.nn.functional.binary_cross_entropy_with_logits(logits, y.double())
        gradients = torch.autograd.grad(risk, list(parameters.values()))
        stepped = {n: (p - 0.7 * g).detach() for (n, p), g in zip(parameters.items(), gradients, strict=True)}
        hidden = [x, x]
        for layer in (0, 2):
            hidden = [
                (h @ p[f"representation.{layer}.weight"].mT + p[f"representation.{layer}.bias"]).relu().detach()
                for h, p in zip(hidden, (parameters, stepped), strict=True)
            ]
            found[f"layer{layer // 2 + 1}"].append(similarity(*hidden))
        logits_ = [
            (h @ p["head.weight"].mT + p["head.bias"]).detach()
            for h, p in zip(hidden, (parameters, stepped), strict=True)
        ]
        found["classifier"].append(abs(np.corrcoef(logits_[0][:, 0], logits_[1][:, 0])[0, 1]))
    for name, values in found.items():
        assert scores[name]["pwcca"] == pytest.approx(np.mean(values), abs=1e-6), name


def test_a_stack_measures_as_its_trials_do(make_trial, training) -> None:
    trials = [make_trial("method=meta_irm", "training.similarity=both", f"seed={seed}") for seed in (0, 1, 2)]
    together = training(*trials).run()
    for trial, stacked in zip(trials, together, strict=True):
        (alone,) = training(trial).run()
        for split in ("representation", "inner_step"):
            for name, score in alone.metrics["last"]["scores"][split].items():
                other = stacked.metrics["last"]["scores"][split][name]["pwcca"]
                assert other == pytest.approx(score["pwcca"], abs=1e-7), (split, name)


def test_every_evaluation_has_it_and_it_changes_nothing_else(make_trial, training) -> None:
    own = [
        "method=meta_irm",
        "training.evaluate_every=5",
        "dataset.n_val=20",
        "method.stop_threshold=1e9",
        "method.stop_warmup=0",
    ]
    (measured,) = training(make_trial(*own, "training.similarity=both")).run()
    (bare,) = training(make_trial(*own)).run()
    assert measured.parameters_sha256 == bare.parameters_sha256
    for rule in ("last", "val", "oracle", "stop"):
        scores = measured.metrics[rule]["scores"]
        assert {"representation", "inner_step"} <= set(scores)
        assert {split: scores[split] for split in bare.metrics[rule]["scores"]} == bare.metrics[rule]["scores"]


def test_it_is_part_of_the_identity_unless_there_is_none(make_trial) -> None:
    bare = make_trial("method=meta_irm")
    assert "similarity" not in bare.canonical["training"]
    assert make_trial("method=meta_irm", "training.similarity=both").id != bare.id


def test_it_is_shown(make_trial, training) -> None:
    trial = make_trial("method=meta_irm", "training.similarity=inner_step")
    (outcome,) = training(trial).run()
    head = {"schema": SCHEMA, "trial_id": trial.id, "status": "completed", "config": trial.canonical}
    shown = scores_table(Result.from_values({**head, "metrics": outcome.metrics}))
    assert "inner_step layer1  pwcca 0." in shown
    assert "accuracy " in shown


def test_what_cannot_be_measured_is_refused(make_trial, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.similarity=both needs a method with an inner step"):
        make_trial("method=erm", "training.similarity=both")
    from irm_sweeps.compose import compose
    from irm_sweeps.trial import Trial

    choices = ["dataset=punctuated_sst2", "backbone=bag_of_words", f"dataset.glove_dim={small_sst2.DIM}"]
    trial = Trial.from_config(compose([*choices, "training.similarity=environments"]))
    with pytest.raises(UserError, match="needs the same inputs in every test environment"):
        StackTraining([trial], small_sst2.write(tmp_path), torch.device("cpu"))
