"""How large automatic stacks are, and why."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from commands import launch
from irm_sweeps.device import free_memory
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.stacks import LARGEST, TINY, Machine, form_stacks
from irm_sweeps.training.footprint import footprint
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

ROOT = Path(__file__).parents[1]
NOWHERE = Path("nowhere")
TINY_TRIAL = ["dataset.source=embedded", "dataset.n_train=50", "backbone.width=8", "training.steps=2"]
METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
CPU = Machine(on_gpu=False, workers=2, free=1e12)
GPU = Machine(on_gpu=True, workers=2, free=1e12)


def grid(n: int, *overrides: str) -> list[Trial]:
    return list(trials([*TINY_TRIAL, f"seed=range(0,{n})", *overrides]).values())


def sizes(found: list[Trial], machine: Machine, data_dir: Path = NOWHERE) -> tuple[set[int], str]:
    stacks = form_stacks(found, "auto", machine, data_dir)
    assert sorted(i for stack in stacks.ids for i in stack) == sorted(trial.id for trial in found)
    return {len(stack) for stack in stacks.ids}, "\n".join(stacks.lines())


def test_trials_stack_on_a_gpu_and_on_a_cpu_where_the_user_says_so() -> None:
    size, why = sizes(grid(64), CPU)
    assert size == {1}
    assert "tiny: stack=16" in why
    large = grid(64, "dataset.n_train=2000", "backbone.width=390")
    assert footprint(large[0], NOWHERE).flop > TINY
    answer = sizes(large, CPU)
    assert answer[0] == {1}
    assert "tiny" not in answer[1]
    assert sizes(large, GPU)[0] == {LARGEST}


def test_no_worker_stays_idle() -> None:
    size, why = sizes(grid(12), GPU)
    assert size == {6}
    assert "idle" in why
    assert sizes(grid(2), GPU)[0] == {1}


def test_memory_bounds_a_stack() -> None:
    found = grid(64)
    room = 4.5 * footprint(found[0], NOWHERE).bytes
    size, why = sizes(found, Machine(on_gpu=True, workers=2, free=room))
    assert size == {4}
    assert "memory" in why
    assert sizes(found, Machine(on_gpu=True, workers=2, free=1.0))[0] == {1}
    assert sizes(found, Machine(on_gpu=True, workers=2, free=None))[0] == {LARGEST}


def test_what_cannot_be_looked_at_keeps_the_device_s_habit() -> None:
    absent = grid(64, "dataset.source=auto", "dataset.n_train=100")
    assert sizes(absent, GPU)[0] == {LARGEST}
    assert sizes(absent, CPU) == ({1}, "stack=auto: 1 for 64 trials: their data are not here to be looked at")


def test_a_stack_that_the_user_chose_needs_no_reason() -> None:
    stacks = form_stacks(grid(7), 3, CPU, NOWHERE)
    assert [len(stack) for stack in stacks.ids] == [3, 3, 1]
    assert not stacks.lines()


class Peak(TorchDispatchMode):
    """The most bytes that the tensors made in here take at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._alive: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._alive:
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            self._alive[key] = weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self.now -= size
        del self._alive[key]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(400, 32), (20, 256)], ids=["images", "parameters"])
def test_a_footprint_bounds_what_training_takes(method: str, size: tuple[int, int]) -> None:
    (trial,) = grid(1, f"method={method}", f"dataset.n_train={size[0]}", f"backbone.width={size[1]}")
    with Peak() as peak:
        training = StackTraining([trial], NOWHERE, torch.device("cpu"))
        training._advance()
        training._advance()
    assert peak.most <= footprint(trial, NOWHERE).bytes <= 3 * peak.most


def test_a_gpu_is_asked_through_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_memory(on_gpu=True) is None
    for said, meant in (("40000\\n16384", 16384 * 2**20), ("[N/A]", None), ("", None)):
        tool.write_text(f"#!/bin/sh\nprintf '{said}'\n")
        tool.chmod(0o755)
        assert free_memory(on_gpu=True) == meant
    assert free_memory(on_gpu=False) > 2**20


def test_a_plan_says_how_it_stacks_and_why(tmp_path: Path) -> None:
    command: list[Any] = ["-m", *TINY_TRIAL, "seed=range(0,40)", f"results={tmp_path}", "plan=true"]
    answer = launch(*command)
    assert answer.code == 0
    assert "stack=auto: 1 for 40 trials: on a CPU trials train alone; these are tiny: stack=16" in answer.out
    assert "40 stacks on 1 worker:" in answer.out
    assert "3 stacks on 1 worker:" in launch(*command, "stack=16").out
