"""A method on a GPU, for the contract of methods."""

from __future__ import annotations

import torch

from irm_sweeps.testing.cases import OPTIMIZERS, MethodCases
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import assert_same_outcome, assert_same_parameters, interrupted
from irm_sweeps.training.loop import StackTraining


class DeviceContract(MethodCases):
    """The part of `MethodContract` that trains on this machine's GPU; skipped where there is none."""

    def test_a_gpu_computes_what_the_cpu_computes(
        self, case: str, optimizer: str, make_trial: MakeTrial, training: Train, gpu: torch.device
    ) -> None:
        """In float64, alone and in a stack: parameters, metrics and history are those of the CPU to 1e-9."""
        trials = self.varied(make_trial, case, *OPTIMIZERS[optimizer])
        for group in [trials[:1], trials] if trials[0].method.stacks else [trials[:1]]:
            there, here = training(*group, device=gpu), training(*group)
            for outcome, expected in zip(there.run(), here.run(), strict=True):
                assert_same_outcome(outcome, expected)
            assert_same_parameters(there, slice(None), here)

    def test_a_gpu_repeats_its_bits(self, case: str, make_trial: MakeTrial, training: Train, gpu: torch.device) -> None:
        """In float32, trained twice, and resumed from a checkpoint: the same bits."""
        trial = self.trial(make_trial, case, "training.precision=float32", "training.batch_size=16")

        def start() -> StackTraining:
            return training(trial, device=gpu)

        (one,), (other,), (resumed,) = start().run(), start().run(), interrupted(start(), start(), at=10).run()
        assert one.parameters_sha256 == other.parameters_sha256 == resumed.parameters_sha256
        assert one.history == other.history == resumed.history
