"""All methods on this machine's GPU, where there is one; two of them on a simulated one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Point, Turn
from irm_sweeps.testing.devices import DeviceContract
from irm_sweeps.testing.fixtures import MakeTrial, Train
from method_cases import AllMethods
from pretended_gpu import DEVICE, PretendedGPU


class TestMethods(AllMethods, DeviceContract):
    pass


class TestOnASimulatedGPU(DeviceContract):
    cases = {"irmv1": ["method=irmv1"]}
    noisy = {"birm": ["method=birm"]}

    @pytest.fixture
    def gpu(self) -> Iterator[torch.device]:
        with PretendedGPU():
            yield DEVICE


def test_a_method_with_another_objective_on_a_gpu_fails(
    make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ERM.turn

    def turn(self: ERM, at: Point, moving: Sequence[str]) -> Turn:
        own = plain(self, at, moving)
        return Turn({"model": own.objectives["model"] * (1 + 1e-6 * (at.batch.labels.device.type == "cuda"))}, own.log)

    class Erm(DeviceContract):
        cases = {"erm": ["method=erm"]}

    def check() -> None:
        Erm().test_a_gpu_computes_what_the_cpu_computes("erm", "sgd minibatch", make_trial, training, DEVICE)

    with PretendedGPU():
        check()
        monkeypatch.setattr(ERM, "turn", turn)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            check()
