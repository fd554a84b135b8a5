"""Steps on a simulated GPU: host and device tensors are never mixed, and the host never waits for the device.

For the limits of the simulation see `pretended_gpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import contracts
from irm_sweeps import device
from irm_sweeps.testing.fixtures import MakeTrial, maker
from irm_sweeps.testing.methods import THREE_ENVIRONMENTS
from irm_sweeps.testing.runs import interrupted
from irm_sweeps.training import loop, stacked_data
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial
from method_cases import AllMethods
from pretended_gpu import DEVICE, PretendedGPU, WrongDevice

METHODS = AllMethods()
CASES = [*METHODS.cases, *METHODS.noisy]
NOWHERE = Path("nowhere")
TINY = {
    "dataset.source": "embedded",
    "dataset.n_train": 12,
    "dataset.test_p_e": [0.1, 0.9],
    "backbone.width": 4,
    "training.steps": 8,
    "training.log_every": 2,
}
ROUNDED = ["training.batch_size=5", "training.precision=bf16", "dataset.classes=5"]
WAYS = {
    "full batch": [],
    "minibatches in bf16": ROUNDED,
    "pooled": ["training.batch_size=3", "training.batches=pooled"],
    "lit channels": ["optimizer=sgd", "optimizer.decay_at=[0.3]"],
    "stack": [],
    "stack of minibatches in bf16": ROUNDED,
}
UNREPEATABLE = {
    "_ctc_loss_backward",
    "_embedding_bag",
    "_embedding_bag_backward",
    "_histogramdd_from_bin_cts",
    "adaptive_max_pool2d_backward",
    "_adaptive_avg_pool2d_backward",
    "avg_pool3d_backward",
    "bincount",
    "cumsum",
    "fractional_max_pool2d_backward",
    "grid_sampler_2d_backward",
    "histc",
    "index_add",
    "index_add_",
    "index_put",
    "index_put_",
    "index_reduce",
    "median",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad2d_backward",
    "replication_pad2d_backward",
    "scatter_reduce",
    "upsample_bilinear2d_backward",
}
"""What adds in any order on CUDA (torch.use_deterministic_algorithms). `scatter_add`, the derivative of a look-up, is
left out: each label is looked up once, so that nothing is added to anything."""


@pytest.fixture(scope="module")
def make() -> MakeTrial:
    return maker([], TINY)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x[0] > 0),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x[[0, 1]],
        lambda x: x[torch.tensor([0, 1])],
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: torch.ones(3).to(x.device),
        lambda x: torch.ones(3).to(x.device, non_blocking=True),
        lambda x: torch.ones(3).type_as(x),
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.asarray([1.0], device=x.device),
        lambda x: torch.where(x > 0, x, torch.tensor(1.0)),
        lambda x: x.clamp(min=torch.tensor(1.0)),
        lambda x: x.long().repeat_interleave(x.long()),
        lambda x: x.long().bincount(),
        lambda x: torch.linalg.inv(torch.outer(x, x) + torch.diag(x)),
        torch.nonzero,
    ],
)
def test_a_wait_is_seen(wait: Callable[[Any], Any]) -> None:
    with PretendedGPU() as gpu:
        x = torch.ones(3, device=DEVICE)
        assert x.device.type == "cuda"
        assert not gpu.waits
        wait(x)
        assert gpu.waits


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.stack([x[0], torch.tensor(1.0)]),
        lambda x: x.numpy(),
        lambda x: torch.func.vmap(lambda row: row * torch.ones(1))(x[:, None]),
        lambda x: torch.nn.functional.linear(x, torch.ones(2, 3)),
    ],
)
def test_a_mistake_is_seen(mistake: Callable[[Any], Any]) -> None:
    with PretendedGPU(), pytest.raises(WrongDevice):
        mistake(torch.ones(3, device=DEVICE))


def test_what_a_gpu_does_without_waiting_is_none() -> None:
    with PretendedGPU() as gpu:
        x = torch.arange(3.0, device=DEVICE, requires_grad=True)
        y = torch.ones(3).pin_memory().to(DEVICE, non_blocking=True)
        (gradient,) = torch.autograd.grad((torch.where(x > 1, x * y, 0.0) * torch.tensor(2.0)).sum(), x)
        rows = torch.func.vmap(lambda row, index: row[index])(torch.stack([x, y]), torch.stack([x, y]).long())
        assert not gpu.waits
        assert gradient.device.type == rows.device.type == "cuda"
        assert gradient.tolist() == [0, 0, 2]


def trials(make: MakeTrial, case: str, way: str) -> Sequence[Trial]:
    if way.startswith("stack"):
        return METHODS.varied(make, case, *WAYS[way])
    return [METHODS.trial(make, case, *THREE_ENVIRONMENTS, *WAYS[way])]


def beginning(training: StackTraining, begin_stages: Callable[[], None], gpu: PretendedGPU) -> None:
    """Forget the waits of a step in which a stage begins: there new parameters may come from the host."""
    before = len(gpu.waits)
    begin_stages()
    if training.timeline.beginning(training.step):
        del gpu.waits[before:]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_no_step_waits(case: str, way: str, make: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_data, "LARGE", 0 if way == "lit channels" else 2**30)
    with PretendedGPU() as gpu:
        training = StackTraining(trials(make, case, way), NOWHERE, DEVICE)
        monkeypatch.setattr(training, "begin_stages", partial(beginning, training, training.begin_stages, gpu))
        gpu.waits.clear()
        gpu.operations.clear()
        while training.step < training.steps:
            training._advance()
        assert not gpu.waits
        assert not gpu.operations & UNREPEATABLE
        assert training.parameters.tensors()["head.weight"].device.type == "cuda"


@pytest.mark.parametrize("way", ["lit channels", "stack of minibatches in bf16"])
@pytest.mark.parametrize("case", ["irmv1", "invrat_ec", "irm_games", "fishr with a moving average", "meta_irm"])
def test_a_training_ends_there_as_on_the_cpu(
    case: str, way: str, make: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations, checkpoints that cross from one device to the other, and the end, to the bit."""
    monkeypatch.setattr(stacked_data, "LARGE", 0 if way == "lit channels" else 2**30)
    monkeypatch.setattr(device, "_onednn_keeps_float32", lambda: False)  # another library than there
    found = trials(make, case, way)

    def on(where: torch.device) -> StackTraining:
        return StackTraining(found, NOWHERE, where)

    straight = on(torch.device("cpu")).run()
    with PretendedGPU():
        there = [on(DEVICE).run(), interrupted(on(DEVICE), on(DEVICE), at=4).run()]
        first, second = on(DEVICE), on(torch.device("cpu"))
        there.append(interrupted(first, second, at=4).run())
    for outcomes in there:
        for one, other in zip(straight, outcomes, strict=True):
            assert one.parameters_sha256 == other.parameters_sha256
            assert one.metrics == other.metrics
            assert one.history == other.history


def test_a_training_there_is_in_float32_and_repeatable(make: MakeTrial) -> None:
    seen = set()

    class Looks:
        def after_step(self, training: StackTraining) -> None:
            seen.add((torch.backends.cudnn.conv.fp32_precision, torch.are_deterministic_algorithms_enabled()))

    with PretendedGPU():
        StackTraining(trials(make, "irmv1", "full batch"), NOWHERE, DEVICE).run(Looks())
    assert seen == {("ieee", True)}


def test_representations_are_compared_there(make: MakeTrial) -> None:
    trial = METHODS.trial(make, "meta_irm", "training.similarity=both", "training.steps=2")
    (expected,) = StackTraining([trial], NOWHERE, torch.device("cpu")).run()
    with PretendedGPU():
        (found,) = StackTraining([trial], NOWHERE, DEVICE).run()
    assert found.metrics == expected.metrics
    assert {"representation", "inner_step"} <= set(found.metrics["last"]["scores"])


@pytest.mark.parametrize("method", ["irmv1", "invrat_eb"])
@pytest.mark.parametrize("crop", ["random", "centre"])
def test_images_are_cropped_there(method: str, crop: str, tmp_path: Path) -> None:
    dataset = contracts.component("dataset", "cifar_mnist", crop=crop, flip="always")
    backbone = contracts.component("backbone", "resnet18", channels_last=True)
    drawn = contracts.trial(dataset, backbone, 0, "bf16")
    training = {**drawn.training.model_dump(), "batches": "pooled"}
    changed = drawn.model_dump() | {"lam": 1.0}
    trial = Trial.model_validate(
        {
            **changed,
            "dataset": dataset,
            "backbone": backbone,
            "optimizer": drawn.optimizer,
            "method": contracts.component("method", method, anneal=1),
            "training": training,
        }
    )
    with PretendedGPU() as gpu:
        run = StackTraining([trial], contracts.data_dir("cifar_mnist", tmp_path), DEVICE)
        gpu.waits.clear()
        gpu.operations.clear()
        run._advance()
        run._advance()
        assert not gpu.waits
        assert not gpu.operations & UNREPEATABLE
        run._evaluate()


class _Clock:
    """Stands still but where the host waits for the device: a second each time."""

    def __init__(self) -> None:
        self.now = 0.0

    def append(self, wait: str) -> None:
        del wait
        self.now += 1

    def perf_counter(self) -> float:
        return self.now


def test_the_time_of_a_step_is_the_device_s(make: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, read = _Clock(), []
    monkeypatch.setattr(loop, "time", clock)

    class Reader:
        def after_step(self, training: StackTraining) -> None:
            read.append((training._seconds, clock.now))

    with PretendedGPU() as gpu:
        training = StackTraining([make("method=erm")], NOWHERE, DEVICE)
        gpu.waits = clock  # type: ignore[assignment]
        clock.now = 0
        training.run(Reader())
    assert clock.now > 4
    assert all(counted == passed for counted, passed in read)


def test_a_probe_waits_for_the_device(make: MakeTrial) -> None:
    with PretendedGPU() as gpu:
        training = StackTraining([make("method=erm")], NOWHERE, DEVICE)
        gpu.waits.clear()
        for _ in range(4):
            training.time_step()
        training.time_evaluation()
        assert gpu.waits.count("synchronize") >= 2 * 5, "before and after each"
