"""The released forms of PAIR, CLOvE and EQRM, where they differ from the papers': against torch's own optimizers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from irm_sweeps import UserError
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import conf_dir
from irm_sweeps.methods.clove import CLOvE
from irm_sweeps.methods.method import Pace
from irm_sweeps.methods.pair import PAIR
from irm_sweeps.methods.stages import Stage
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import advance
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.training.optimizers import Adam
from irm_sweeps.training.timeline import check_stages
from small_games import method, ours, point


def released(name: str) -> list[str]:
    """The overrides that `protocol=released` stands for."""
    values = yaml.safe_load((conf_dir() / f"protocol/method/released_{name}.yaml").read_text())
    return [f"method={name}", *(f"method.{key}={value}" for key, value in values.items())]


PAIR_SGD = [*released("pair"), "method.anneal=3", "optimizer=sgd", "optimizer.lr=0.05"]


def parameters(run: StackTraining, trial: int = 0) -> dict[str, Tensor]:
    return {name: t[trial].detach().clone() for name, t in run.parameters.tensors().items()}


def adam_on_erm(run: StackTraining, steps: int, l2: float) -> dict[str, Tensor]:
    """Train the run's network by torch's Adam at .001 on the mean risk plus l2, apart from the run."""
    own = {name: t.requires_grad_() for name, t in parameters(run).items()}
    optimizer = torch.optim.Adam(list(own.values()), lr=0.001)
    batch = run.data.batch(0, 0, 1)
    x, y = batch.inputs[0], batch.labels[0]
    for _ in range(steps):
        logits = run.model.classify(own, run.model.represent(own, x))
        squares = torch.stack([p.square().sum() for p in own.values()]).sum()
        loss = F.binary_cross_entropy_with_logits(logits, y) + l2 * squares
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: t.detach() for name, t in own.items()}


def test_pair_as_released_trains_erm_by_adam_and_then_by_sgd(make_trial: MakeTrial, training: Train) -> None:
    """Source: LFhase/PAIR, ColoredMNIST/pair_alg.py, pair_train."""
    run = training(make_trial(*PAIR_SGD, "training.l2=0.01", "training.steps=6"))
    expected = adam_on_erm(run, 3, 0.01)
    advance(run, 3)
    for name, found in parameters(run).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-11)
    advance(run, 1)
    moved = {name: parameters(run)[name] - expected[name] for name in expected}
    state = run.state(0)[0]
    for name, change in moved.items():
        momentum = state[f"model/{name}/momentum_buffer"][0]
        torch.testing.assert_close(change, -0.05 * momentum, rtol=1e-6, atol=1e-10)
        assert change.abs().max() > 0


@pytest.mark.parametrize("at", [2, 3, 4])
def test_it_resumes_before_at_and_after_the_change_of_optimizers(
    at: int, make_trial: MakeTrial, training: Train
) -> None:
    trials = [make_trial(*PAIR_SGD, f"seed={seed}", "training.steps=7") for seed in (1, 2)]
    whole, first, second = training(*trials), training(*trials), training(*trials)
    advance(first, at)
    second.restore([first.state(i) for i in range(2)])
    advance(second, 7 - at)
    advance(whole, 7)
    for trial in range(2):
        for name, found in parameters(second, trial).items():
            assert torch.equal(found, parameters(whole, trial)[name])


def test_a_state_of_the_other_optimizer_is_refused(make_trial: MakeTrial, training: Train) -> None:
    trial = make_trial(*PAIR_SGD, "training.steps=7")
    run, other = training(trial), training(trial)
    advance(run, 4)
    tensors, plain = run.state(0)
    with pytest.raises(ValueError, match="momentum_buffer is unknown"):
        other.restore([(tensors, {**plain, "step": 2})])


def test_a_new_optimizer_starts_without_state() -> None:
    fields = compose(["method=pair"])["method"]
    with pytest.raises(ValueError, match="reset_optimizer=true, or erm_lr=null"):
        PAIR.model_validate({**fields, "erm_lr": 0.1, "reset_optimizer": False})
    wrong = PAIR.model_validate(fields)
    stages = [Stage("later", 2, paces={"model": wrong.pace("model")})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PAIR, "stages", lambda _: stages)
        with pytest.raises(UserError, match="set restarts=True"):
            check_stages(wrong)


def test_paces_name_players_and_optimizers_that_there_are(
    make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"Pace\('adamw', \.\.\.\): no such optimizer: choose trial, descent, adam"):
        Pace("adamw", 0.1)  # type: ignore[arg-type]
    stages = [Stage("later", 2, restarts=True, paces={"modle": Pace()})]
    monkeypatch.setattr(PAIR, "stages", lambda _: stages)
    with pytest.raises(UserError, match=r"PAIR\.stages, 'later', paces: 'modle' is not a player .* `model`"):
        training(make_trial("method=pair"))


def test_clove_as_released_sums() -> None:
    """Source: TjuJianyu/RFC, coloredmnist/train.py, clove_train."""
    fields = compose(["method=clove", "protocol=released"])["method"]
    assert (fields["environments"], fields["risk"], fields["weight_before_anneal"]) == ("sum", "sum", 1.0)
    at = point(1, environments=3)
    summed, mean = (ours(method(CLOvE, width=0.4, environments=how), at).item() for how in ("sum", "mean"))
    assert summed == pytest.approx(3 * mean, rel=1e-12)
    assert np.isfinite(mean)
    assert mean != 0


def test_eqrm_as_released_has_a_cosine_after_the_anneal() -> None:
    """Source: cianeastwood/qrm, CMNIST/train.py, adjust_learning_rate: the update after the anneal is number 1."""
    config = compose(["method=eqrm", "protocol=released"])
    optimizer = Adam.model_validate(config["optimizer"])
    steps, anneal = config["training"]["steps"], config["method"]["anneal"]
    assert (steps, anneal, config["backbone"]["depth"], config["training"]["l2"]) == (600, 400, 3, 0)
    parameter = torch.nn.Parameter(torch.zeros(1))
    reference = torch.optim.Adam([parameter], lr=optimizer.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, steps - anneal)
    for step in range(steps):
        expected = optimizer.lr if step <= anneal else schedule.get_last_lr()[0]
        assert optimizer.lr * optimizer.factor(step / steps) == pytest.approx(expected, rel=1e-9)
        reference.step()
        if step >= anneal:
            schedule.step()
    released = [0.5 * (1 + math.cos(math.pi * (s - anneal) / (steps - anneal))) for s in range(anneal + 1, steps + 1)]
    np.testing.assert_allclose(
        [optimizer.factor(s / steps) for s in range(anneal + 1, steps + 1)], released, atol=1e-12
    )


def test_a_cosine_multiplies_the_drops() -> None:
    fields = compose([])["optimizer"]
    both = Adam.model_validate({**fields, "decay_at": [0.5], "decay": 0.1, "cosine_from": 0.0})
    assert [both.factor(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.05, 0])
