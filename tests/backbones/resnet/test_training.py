"""Deep models: against a plain training loop, with every method, with minibatches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.commands.method_catalogue import methods
from irm_sweeps.errors import UserError
from irm_sweeps.testing.runs import tensors
from irm_sweeps.training.checkpoint import pack, unpack
from irm_sweeps.training.loop import StackTraining

METHODS = [entry.name for entry in methods() if not entry.target.uses_side]


class Plain(nn.Module):
    """torchvision's network with a one-logit classifier, as anybody would write it."""

    def __init__(self, run: StackTraining) -> None:
        super().__init__()
        self.network = torchvision.models.resnet18(weights=None)
        self.network.fc = nn.Linear(512, 1)
        own = {}
        for name, value in tensors(run).items():
            plain = name.removeprefix("buffer.").replace("representation.network.", "").replace("head.", "fc.")
            own[plain] = value
        self.network.load_state_dict(own)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x).squeeze(1)


def test_steps_equal_a_plain_loop_with_its_batch_norm(make, start) -> None:
    trial = make("method=erm", training={"precision": "float64", "steps": 4}, method={"risk": "images"})
    run = start(trial)
    plain = Plain(run).double().train()
    optimizer = torch.optim.SGD(plain.parameters(), lr=trial.optimizer.lr, momentum=trial.optimizer.momentum)
    for step in range(4):
        batch = run.data.batch(step, 0, 1)
        run._advance()
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(plain(batch.inputs[0]), batch.labels[0])
        (loss + 1e-4 * sum(p.square().sum() for p in plain.parameters())).backward()
        optimizer.step()
    expected = plain.network.state_dict()
    for name, value in tensors(run).items():
        own = name.removeprefix("buffer.").replace("representation.network.", "").replace("head.", "fc.")
        torch.testing.assert_close(value, expected[own], rtol=1e-7, atol=1e-9)
    assert expected["bn1.num_batches_tracked"] == 4
    run._evaluate()
    plain.eval()
    test = run.data.sets["test"]
    (piece,) = run.data.pieces("test", 4)
    with torch.no_grad():
        accuracy = ((plain(piece[0]) > 0).long() == test.labels[0][0]).double().mean().item()
        risk = nn.functional.binary_cross_entropy_with_logits(plain(piece[0]), test.labels[0][0].double()).item()
    score = run._progress[0].evaluations[-1].scores["test"]["0.1"]
    assert score["accuracy"] == pytest.approx(accuracy)
    assert score["risk"] == pytest.approx(risk)


@pytest.mark.parametrize("protocol", ["paper", "released"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_a_resnet(method: str, protocol: str, make, start) -> None:
    # Gradients of few images with batch norm differ hugely, and IGA penalises the square of that.
    own = {"optimizer": {"lr": 1e-10}} if method == "iga" else {}
    trial = make(f"method={method}", f"protocol={protocol}", **own)
    run = start(trial)
    before = tensors(run)
    (outcome,) = run.run()
    assert outcome.diverged_at is None
    assert set(outcome.metrics["last"]["scores"]) == {"train", "test"}
    after = tensors(run)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "representation.network.conv1.weight" in moved
    assert "buffer.representation.network.bn1.running_mean" in moved, "batch norm averages as it trains"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_the_larger_one(method: str, make, start) -> None:
    # Default penalties on a handful of images are huge: with small steps nothing but a fault can diverge.
    own = {"inner_lr": 1e-3} if method == "meta_irm" else {}
    lr = 1e-20 if method == "iga" else 1e-7
    trial = make(f"method={method}", "backbone=resnet50", training={"steps": 2}, optimizer={"lr": lr}, method=own)
    (outcome,) = start(trial).run()
    assert outcome.diverged_at is None


PASSES = {
    ("erm", "paper"): 1,
    ("irmv1", "paper"): 1,
    ("vrex", "released"): 1,
    ("rvp", "released"): 1,
    ("irm_games", "released"): 2,
    ("groupdro", "paper"): 1,
    ("invrat_ec", "paper"): 2,
    ("invrat_ec", "released"): 2,
    ("invrat_eb", "released"): 2,
}
"""Encoder passes per step; lin2021's released InvRat makes four or five. See docs/performance.md."""


@pytest.mark.parametrize(("method", "protocol"), PASSES)
def test_encoder_passes_per_step(method: str, protocol: str, make, start, monkeypatch) -> None:
    counted: Counter[str] = Counter()
    represent = Model.represent

    def counting(self: Model, *args: Any, **kwargs: Any) -> torch.Tensor:
        counted["passes"] += 1
        return represent(self, *args, **kwargs)

    monkeypatch.setattr(Model, "represent", counting)
    own = {"warm_up": 1} if method == "irm_games" else {}
    run = start(make(f"method={method}", f"protocol={protocol}", method=own))
    run.step = 2  # after the anneal or the warm-up
    run._advance()
    assert counted["passes"] == PASSES[method, protocol]
    if method.startswith("invrat"):
        own = start(make(f"method={method}", f"protocol={protocol}", method={"inner_batch": "same", "inner_steps": 3}))
        own.step = 2
        counted.clear()
        own._advance()
        assert counted["passes"] == 1, "the same images: one pass serves the adversary and the model"


def test_a_shared_pass_changes_nothing(make, start, monkeypatch) -> None:
    """With a fresh pass for every move the parameters come out the same, but for batch norm's averages."""
    trial = make("method=invrat_ec", method={"inner_batch": "same"}, training={"precision": "float64"})
    shared = start(trial)
    shared.run()
    separate = start(trial)
    scene = StackTraining.scene
    monkeypatch.setattr(StackTraining, "scene", lambda self, batch, noise, _=None: scene(self, batch, noise))
    separate.run()
    for name, value in tensors(separate).items():
        torch.testing.assert_close(tensors(shared)[name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("inner_statistics", "updates"), [(False, 1), (True, 2)])
def test_an_adversary_s_pass_updates_averages_only_if_asked(inner_statistics, updates, make, start) -> None:
    run = start(make("method=invrat_ec", backbone={"inner_statistics": inner_statistics}))
    run.step = 2
    run._advance()
    assert tensors(run)["buffer.representation.network.bn1.num_batches_tracked"] == updates


def test_evaluation_uses_averages_and_leaves_them(make, start) -> None:
    run = start(make("method=erm"))
    run._advance()
    before = tensors(run)
    run._evaluate()
    run._evaluate()
    assert all(torch.equal(value, before[name]) for name, value in tensors(run).items())
    first, second = (e.scores for e in run._progress[0].evaluations)
    assert first == second


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_resume_is_exact(protocol: str, make, start) -> None:
    trial = make("method=invrat_ec", f"protocol={protocol}", training={"steps": 6}, optimizer={"decay_at": [0.5]})
    (whole,) = start(trial).run()
    first = start(trial)
    for _ in range(4):
        first._advance()
    second = start(trial)
    second.restore([unpack(trial.id, pack(trial.id, *first.state(0)))])
    (resumed,) = second.run()
    assert resumed.parameters_sha256 == whole.parameters_sha256
    assert resumed.metrics == whole.metrics


# Minibatches.


def test_pooled_batches_are_shuffled_epochs_of_everything(make, start) -> None:
    run = start(make("method=erm", dataset={"n_train": 44, "envs": 4}))
    assert run.data.epoch == 6
    seen = []
    for step in range(6):
        batch = run.data.batch(step, 0, 1)
        assert sum(batch.counts) == batch.inputs.shape[1] == (8 if step < 5 else 4)
        assert len(batch.counts) == 4
        rows, counts = run.data._minibatches[0].of_step(step, 0, 1)
        assert np.array_equal(np.sort(rows // 11), rows // 11), "environment by environment"
        assert tuple(np.bincount(rows // 11, minlength=4)) == counts
        seen.append(rows)
    assert sorted(np.concatenate(seen)) == list(range(44))
    again = run.data._minibatches[0].of_step(6, 0, 1)[0]
    assert not np.array_equal(again, seen[0])
    assert not np.array_equal(run.data._minibatches[0].of_step(6, 1, 2)[0], again), "inner steps see others"


@pytest.mark.parametrize("method", METHODS)
def test_an_absent_environment_or_a_single_image_does_no_harm(method: str, make, start) -> None:
    """Batches of two from four environments: at least two are absent from each, others have one image."""
    trial = make(
        f"method={method}",
        "backbone=mlp",
        dataset={"envs": 4},
        backbone={"width": 4, "depth": 1, "init": "torch"},
        training={"batch_size": 2, "steps": 20},
        method={"inner_lr": 0.01} if method == "meta_irm" else {},
    )
    (outcome,) = start(trial).run()
    assert outcome.diverged_at is None
    assert all(np.isfinite(s["risk"]) for s in outcome.metrics["last"]["scores"]["train"].values())


def test_epochs_in_place_of_steps(make, start) -> None:
    trial = make("method=erm", training={"epochs": 2, "steps": 99})
    assert trial.id == make("method=erm", training={"epochs": 2, "steps": None}).id
    run = start(trial)
    assert run.steps == 10
    (outcome,) = run.run()
    assert outcome.steps == 10
    with pytest.raises(UserError, match="give one of them"):
        make("method=erm", training={"steps": None})


def test_the_schedule_is_pure_and_spares_a_constant_adversary(make, start) -> None:
    own = {"decay_at": [0.3, 0.6], "decay": 0.1, "lr": 1.0}
    trial = make("method=invrat_ec", optimizer=own, method={"adversary_schedule": "constant"}, training={"steps": 10})
    assert [trial.optimizer.factor(step / 10) for step in (0, 2, 3, 5, 6, 9)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    run = start(trial)
    run.step = 6
    run._advance()
    rates = {player: o.param_groups[0]["lr"] for player, o in run.parameters._optimizers.items()}
    assert rates == pytest.approx({"representation": 0.01, "head": 0.01, "adversary": 1.0})


def test_layout_and_mixed_precision_compute_the_same_within_their_precision(make, start) -> None:
    found, risks, name = {}, {}, "representation.network.conv1.weight"
    for precision, channels_last in (("float64", False), ("float64", True), ("float32", False), ("bf16", False)):
        run = start(make("method=irmv1", backbone={"channels_last": channels_last}, training={"precision": precision}))
        run._advance()
        found[precision, channels_last] = tensors(run)[name]
        run._collect()
        risks[precision, channels_last] = run._progress[0].history[0]["risks"]
    exact = found["float64", False]
    torch.testing.assert_close(found["float64", True], exact, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found["float32", False].double(), exact, rtol=0, atol=1e-5)
    assert found["bf16", False].dtype is torch.float32
    assert not torch.equal(found["bf16", False], found["float32", False])
    # At this size batch norm sees 8 values a channel, so updates differ visibly; the risks that led to them do not.
    for one, other in zip(risks["bf16", False], risks["float64", False], strict=True):
        assert one == pytest.approx(other, rel=0.02)
