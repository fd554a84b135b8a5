"""Stages, combined gradients, the index and the side information of images: against references written apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from irm_sweeps import Boundary, Move, Point, Stage, Turn, UserError
from irm_sweeps.methods.erm import ERM
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import advance, interrupted
from irm_sweeps.testing.trials import with_cut_environment, with_side
from irm_sweeps.training import moves
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

PLAIN = ["optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0.1", "training.l2=0.001"]
Parameters = dict[str, Tensor]


def own(run: StackTraining) -> Parameters:
    """The first trial's parameters of the network, with gradients, and apart from the run's."""
    tensors = run.parameters.tensors()
    return {n: t[0].detach().clone().requires_grad_() for n, t in tensors.items() if not n.startswith("state.")}


def logits(run: StackTraining, parameters: Parameters, inputs: Tensor) -> Tensor:
    return run.model.classify(parameters, run.model.represent(parameters, inputs))


def l2(parameters: Parameters) -> Tensor:
    return 0.001 * torch.stack([p.square().sum() for p in parameters.values()]).sum()


def descend(parameters: Parameters, gradients: Sequence[Any], lr: float) -> Parameters:
    pairs = zip(parameters.items(), gradients, strict=True)
    return {n: (p - lr * torch.as_tensor(g)).detach().requires_grad_() for (n, p), g in pairs}


def assert_has(run: StackTraining, parameters: Parameters) -> None:
    for name, tensor in own(run).items():
        torch.testing.assert_close(tensor, parameters[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("tau", [1.0, 0.3])
def test_and_mask_steps_where_the_signs_agree(tau: float, make_trial: MakeTrial, training: Train) -> None:
    three = ["dataset.p_e=[0.2,0.1,0.4]", "dataset.label_noise=[0.25,0.25,0.2]"]
    run = training(with_cut_environment(make_trial("method=and_mask", f"method.tau={tau}", *PLAIN, *three)))
    parameters, batch = own(run), run.data.batch(0, 0, 1)
    environments = list(zip(batch.inputs[0].split([60, 60, 40]), batch.labels[0].split([60, 60, 40]), strict=True))
    kept = []
    for _ in range(3):
        each = []
        for x, y in environments:
            risk = F.binary_cross_entropy_with_logits(logits(run, parameters, x), y) + l2(parameters)
            each.append([g.numpy() for g in torch.autograd.grad(risk, list(parameters.values()))])
        masked = []
        for gradients in map(np.stack, zip(*each, strict=True)):
            agreement = np.abs((gradients > 0).sum(0) - (gradients < 0).sum(0)) / 3
            left = agreement >= tau
            kept.append(left.mean())
            masked.append(np.where(left, gradients.mean(0), 0) / (1e-10 + left.mean()))
        parameters = descend(parameters, masked, 0.1)
    advance(run, 3)
    assert_has(run, parameters)
    assert 0.1 < np.mean(kept) < 0.99, "some entries are masked, and some are not"


def test_eiil_infers_environments_and_trains_irmv1_on_them(make_trial: MakeTrial, training: Train) -> None:
    steps = ["method.reference_steps=3", "method.inference_steps=4", "method.anneal=2", "method.inference_lr_scale=900"]
    trial = make_trial("method=eiil", *PLAIN, *steps, "lam=5", "training.steps=11")
    run = training(trial)
    x, y = (t[0] for t in (run.data.batch(0, 0, 1).inputs, run.data.batch(0, 0, 1).labels))
    model, soft = own(run), run.parameters.tensors()["state.soft_environment"][0].detach().clone()
    for _ in range(3):
        losses = F.binary_cross_entropy_with_logits(logits(run, model, x), y, reduction="none")
        risk = (losses[:60].mean() + losses[60:].mean()) / 2 + l2(model)
        model = descend(model, torch.autograd.grad(risk, list(model.values())), 0.1)
    z = logits(run, model, x).detach()
    for _ in range(4):
        soft.requires_grad_()
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        losses = F.binary_cross_entropy_with_logits(z * scale, y, reduction="none")
        norms = [
            torch.autograd.grad((losses * q).mean(), scale, create_graph=True)[0] ** 2
            for q in (soft.sigmoid(), 1 - soft.sigmoid())
        ]
        (gradient,) = torch.autograd.grad(-sum(norms) / 2, soft)
        soft = (soft - 90 * gradient).detach()
    advance(run, 8)
    first = run.parameters.tensors()["state.environment"][0].bool()
    np.testing.assert_array_equal(first.numpy(), soft.numpy() > 0)
    assert 5 < int(first.sum()) < 115

    start = {n: t.double().requires_grad_() for n, t in run.networks.fresh(0, "invariance").items()}
    model = {name: start[name] for name in model}
    advance(run, 3)
    for step in range(4):
        risks, penalties = [], []
        for members in (first, ~first):
            scale = torch.ones((), dtype=torch.float64, requires_grad=True)
            risks.append(F.binary_cross_entropy_with_logits(logits(run, model, x[members]) * scale, y[members]))
            penalties.append(torch.autograd.grad(risks[-1], scale, create_graph=True)[0] ** 2)
        weight = 5.0 if step >= 2 else 1.0
        loss = (sum(risks) / 2 + l2(model) + weight * sum(penalties) / 2) / weight
        model = descend(model, torch.autograd.grad(loss, list(model.values())), 0.1)
    assert_has(run, model)


@pytest.mark.parametrize(
    "batches",
    [
        [],
        ["training.batch_size=16"],
        ["training.batches=pooled", "training.batch_size=24"],
    ],
)
def test_a_batch_says_which_images_it_has(batches: list[str], make_trial: MakeTrial, training: Train) -> None:
    """`index` in all training images, with `side` as the dataset gave it, in a stack of trials with their own draws."""
    trials = [with_side(make_trial(f"seed={seed}", *batches)) for seed in (1, 2)]
    trials = [with_cut_environment(trial) for trial in trials]
    runs = [training(trials[0]), training(trials[1])] if "pooled" in str(batches) else [training(*trials)]
    for run in runs:
        for step in range(3):
            batch = run.data.batch(step, 1, 2)
            for i, index in enumerate(batch.index):
                assert len(set(index.tolist())) == len(index)
                assert torch.equal(run.data._inputs[i, index], batch.inputs[i])
                environment = (index >= 60).long()
                assert torch.equal(environment, environment.sort().values), "ordered by environment"
                assert batch.side is not None
                amounts = batch.inputs[i].unflatten(1, (2, -1)).mean(2)
                torch.testing.assert_close(batch.side[i], amounts, rtol=1e-5, atol=1e-7)


class Staged(ERM):
    """ERM of which a test chooses the stages, what happens between them, and how gradients are combined."""

    kept: ClassVar[Any] = None
    chosen: ClassVar[Sequence[Stage]] = ()
    values: ClassVar[Any] = staticmethod(lambda at: {})
    seen: ClassVar[list[Any]] = []

    def stages(self) -> Sequence[Stage]:
        return self.chosen

    def enter(self, stage: str, at: Boundary) -> Mapping[str, Tensor]:
        self.seen.append((stage, at))
        return self.values(at)

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        split: dict[str, list[str]] = {"representation": [], "head": []}
        for name in names:
            split[name.partition(".")[0]].append(name)
        return split

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        return [Move(["representation", "head"])]


class Several(Staged):
    """Every player has one objective per environment."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        risks = at.risks(at.logits(at.features()))
        return Turn(dict.fromkeys(moving, risks), {"risks": risks})

    def combine(
        self, at: Point, player: str, objectives: Tensor, gradients: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        return self.kept(gradients)


@pytest.fixture
def staged(make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*stages: Stage, kind: type[Staged] = Staged, seed: int = 1, **more: Any) -> Trial:
        """Return a trial of a kind of method with these stages and attributes."""
        for name, value in {"chosen": stages, "seen": [], **more}.items():
            monkeypatch.setattr(kind, name, value, raising=False)
        trial = make_trial(f"seed={seed}", "training.steps=8", "training.l2=0")
        return trial.model_copy(update={"method": kind.model_validate({"risk": "mean"})})

    return make


def test_a_frozen_head_a_fresh_one_and_a_share_of_the_steps(staged: Any, training: Train) -> None:
    """The head is drawn anew from the trial's seed at a quarter of the steps, and frozen until half of them."""

    def head(at: Boundary) -> Mapping[str, Tensor]:
        return {name: value for name, value in at.fresh("new head").items() if name.startswith("head.")}

    stages = (
        Stage("both"),
        Stage("frozen", 0.25, moves=[Move(["representation"])], restarts=True),
        Stage("both again", 0.5),
    )
    trials = [staged(*stages, seed=seed, values=staticmethod(lambda at: {})) for seed in (1, 2)]
    run = training(*trials)
    advance(run, 2)
    type(trials[0].method).values = staticmethod(lambda at: head(at) if run.step == 2 else {})
    heads = []
    for _ in range(4):
        advance(run, 1)
        heads.append(run.parameters.tensors()["head.weight"].detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])
    for i in range(len(run.trials)):
        torch.testing.assert_close(heads[0][i], run.networks.fresh(i, "new head")["head.weight"].double())
    assert not torch.equal(heads[0][0], heads[0][1])
    assert [stage for stage, _ in trials[0].method.seen] == ["both"] * 2 + ["frozen"] * 2 + ["both again"] * 2


def test_of_stages_that_begin_together_the_last_one_counts(staged: Any, training: Train) -> None:
    trial = staged(Stage("skipped", moves=[Move(["head"])]), Stage("game"), Stage("late", 7), Stage("weight", 1))
    run = training(trial)
    assert [run.timeline.stage(step).name for step in (0, 6, 7)] == ["game", "weight", "late"]
    advance(run, 1)
    assert [stage for stage, _ in trial.method.seen] == ["skipped", "game"], "either begins"
    other = training(staged(Stage("game"), Stage("weight", 1, numbers_only=True)))
    assert other.timeline.stage(6).name == "game"


def test_a_boundary_has_all_training_images(staged: Any, training: Train) -> None:
    trial = staged(Stage("only", 3))
    run = training(trial)
    advance(run, 4)
    ((_, at),) = trial.method.seen
    everything = run.data.batch(0, 0, 1)
    assert torch.equal(at.over_images(lambda inputs: inputs), everything.inputs[0])
    assert torch.equal(at.labels, everything.labels[0])
    assert at.environments.tolist() == [0] * 60 + [1] * 60


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([Stage("a"), Stage("a", 3)], "Staged.stages: 'a': give each stage a name of its own"),
        ([Stage("a", 1.0)], r"Staged.stages: 'a' begins at 1.0: give a whole number of steps, e.g. 1, or a share"),
        ([Stage("a", -2)], "Staged.stages: 'a' begins at -2: give a whole number"),
        ([Stage("a", moves=[Move(["hed"])])], r"Staged.stages, 'a': 'hed' is not a player \(did you mean `head`\?\)"),
        ([Stage("a", moves=[], numbers_only=True)], "Staged.stages: 'a' has moves, and numbers_only=True"),
    ],
)
def test_a_wrong_stage_is_refused(stages: list[Stage], told: str, staged: Any, training: Train) -> None:
    with pytest.raises(UserError, match=told):
        training(staged(*stages))


def test_what_a_stage_begins_with_fits_the_tensors(staged: Any, training: Train) -> None:
    for values, told in (
        ({"head.wight": torch.zeros(1)}, r"'head.wight' is no tensor of the trial \(did you mean `head.weight`\?\)"),
        ({"head.bias": torch.zeros(7)}, r"'head.bias' is \[7\]: a tensor of shape \[1\] is needed"),
    ):
        run = training(staged(Stage("a"), values=staticmethod(lambda at, values=values: values)))
        with pytest.raises(UserError, match=f"Staged.enter, stage 'a': {told}"):
            advance(run, 1)


@pytest.mark.parametrize("name", ["phase", "resets_at", "reset", "restarts_optimizer_at"])
def test_a_function_that_stages_replaced_is_named(name: str, staged: Any, training: Train) -> None:
    trial = staged(**{name: lambda self, step: "x"})
    with pytest.raises(UserError, match=f"Staged.{name}: no longer called: `stages` names"):
        training(trial)


def test_combined_gradients_fit_the_tensors(staged: Any, training: Train) -> None:
    for combine, told in (
        (
            lambda gradients: gradients,
            r"'head.*' has shape \[2, .*reduce the first axis|'representation.*reduce the first",
        ),
        (lambda gradients: {}, "Several.combine: 'representation' needs gradients for"),
    ):
        with pytest.raises(UserError, match=told):
            advance(training(staged(kind=Several, kept=staticmethod(combine))), 1)


def test_a_mean_of_the_gradients_is_erm(
    staged: Any, training: Train, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, in a stack of two learning rates, compiled, and resumed."""

    def mean(gradients: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {name: gradient.mean(0) for name, gradient in gradients.items()}

    trial = staged(kind=Several, kept=staticmethod(mean))
    slow = trial.model_copy(update={"optimizer": trial.optimizer.model_copy(update={"lr": 1e-4})})
    monkeypatch.setattr(moves, "BACKEND", "aot_eager")
    compiled = training(trial, compiled=True)
    erm, stack = (
        training(make_trial("seed=1", "training.steps=8", "training.l2=0", "method=erm")),
        training(trial, slow),
    )
    run = training(trial)
    for each in (erm, stack, run, compiled):
        each.run()
    assert_has(run, own(erm))
    assert_has(compiled, own(erm))
    row = stack.trials.index(trial)
    for name, tensor in own(run).items():
        torch.testing.assert_close(stack.parameters.tensors()[name][row], tensor, rtol=1e-10, atol=1e-12)
    again = interrupted(training(trial), training(trial), at=4)
    again.run()
    assert all(torch.equal(tensor, own(again)[name]) for name, tensor in own(run).items())


def test_a_method_that_needs_side_information_says_so(staged: Any, training: Train) -> None:
    trial = staged(uses_side=True)
    with pytest.raises(UserError, match=r"Staged needs side information .*ColoredMNIST gives none: let its `draw`"):
        training(trial)
    training(with_side(trial))
