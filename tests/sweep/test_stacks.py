"""The sizes of automatic stacks, and the reasons for them."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from commands import launch
from irm_sweeps.data.colored_mnist import ColoredMNIST
from irm_sweeps.device import free_memory
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.launchers.local import Local
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.stacks import LARGEST, ON_CPU, SHARE, Machine, form_stacks, gain_on_cpu
from irm_sweeps.training.footprint import TINY, footprint
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

ROOT = Path(__file__).parents[2]
NOWHERE = Path("nowhere")
TINY_TRIAL = ["dataset.source=embedded", "dataset.n_train=50", "backbone.width=8", "training.steps=2"]
ABSENT = ["dataset.source=auto", "dataset.n_train=100"]
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
    found = grid(64)
    assert sizes(found, CPU) == ({1}, f"stack=auto: 1 for 64 trials: {ON_CPU}")
    assert sizes(found, GPU) == ({LARGEST}, "stack=auto: 16 for 64 trials: the largest")


def test_what_a_cpu_would_gain_is_said_of_tiny_trials() -> None:
    def gain(found: list[Trial], limit: Any = "auto", machine: Machine = CPU) -> str | None:
        return gain_on_cpu(form_stacks(found, limit, machine, NOWHERE), found, NOWHERE)

    tiny, large = grid(64), grid(64, "dataset.n_train=2000", "backbone.width=390")
    assert footprint(tiny[0], NOWHERE).flop < TINY < footprint(large[0], NOWHERE).flop
    assert (gain(tiny) or "").startswith("tiny trials, as erm seed=0: stack=16 is")
    assert gain(tiny) == gain([large[0], *tiny]), "one that can train with no other has nothing to gain"
    assert gain(large) is gain(grid(2)) is gain(tiny[:1]) is None
    assert gain(tiny, 3) is gain(tiny, machine=GPU) is None
    assert gain(grid(64, *ABSENT)) is None


def test_on_a_cpu_no_trial_is_looked_at_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look draws data; with thousands of kinds of trial the first worker would wait for minutes."""
    looks: list[Trial] = []

    def look(trial: Trial, data_dir: Path) -> Any:
        looks.append(trial)
        return footprint(trial, data_dir)

    monkeypatch.setattr("irm_sweeps.training.footprint.footprint", look)
    found = grid(12, "backbone.width=8,9,10")
    stacks = form_stacks(found, "auto", CPU, NOWHERE)
    assert not looks
    gain_on_cpu(stacks, found, NOWHERE)
    assert looks == found[:1]
    form_stacks(found, "auto", GPU, NOWHERE)
    assert len(looks) == 1 + 3


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
    reason = "stack=auto: 16 for 64 trials: their data could not be looked at"
    assert sizes(grid(64, *ABSENT), GPU) == ({LARGEST}, reason)
    assert sizes(grid(64, *ABSENT), CPU)[0] == {1}


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(3), MemoryError()])
def test_an_error_in_a_dataset_s_own_code_is_left_to_who_trains_it(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(self: ColoredMNIST, seed: int, data_dir: Path) -> Any:
        raise error

    found = grid(64)
    monkeypatch.setattr(ColoredMNIST, "draw", draw)
    assert sizes(found, GPU)[0] == {LARGEST}


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
    side = ["dataset.side=environment"] if method in ("zin", "irm_tv") else []
    (trial,) = grid(1, f"method={method}", f"dataset.n_train={size[0]}", f"backbone.width={size[1]}", *side)
    with Peak() as peak:
        training = StackTraining([trial], NOWHERE, torch.device("cpu"))
        training._advance()
        training._advance()
    assert peak.most <= footprint(trial, NOWHERE).bytes <= 3 * peak.most


def test_a_gpu_is_asked_through_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_memory(["0"]) is None
    for said, meant in (("40000\\n16384", 16384 * 2**20), ("[N/A]", None), ("", None)):
        tool.write_text(f"#!/bin/sh\nprintf '{said}'\n")
        tool.chmod(0o755)
        assert free_memory(["0", "1"]) == meant
    assert free_memory([]) > 2**20


def test_only_the_gpus_that_may_be_used_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour's full GPU makes no stack smaller, and who shares a GPU shares its memory."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$*" in *--id=2,3*) echo 1000; echo 2000;; *--id=2*) echo 1000;; *) echo 1;; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    half = SHARE * 1000 * 2**20
    assert Local(None, 1, None).machine("auto") == Machine(True, 2, half)
    assert Local(None, 4, None).machine("auto") == Machine(True, 8, half / 4)
    assert Local(None, 4, None).machine("cuda:0") == Machine(True, 4, half / 4)
    assert InProcess().machine("auto") == Machine(True, 1, half)


def test_the_gpus_of_other_machines_cannot_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 1000\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Machine.of(on_gpu=True, workers=8, gpus=()) == Machine(True, 8, None)


def test_a_plan_says_how_it_stacks_and_why(tmp_path: Path) -> None:
    command: list[Any] = ["-m", *TINY_TRIAL, "seed=range(0,40)", f"results={tmp_path}", "plan=true"]
    answer = launch(*command)
    assert answer.code == 0
    assert f"\nstack=auto: 1 for 40 trials: {ON_CPU}\ntiny trials, as erm seed=0: stack=16 is" in answer.out
    assert "40 trials on 1 worker:" in answer.out
    assert "40 trials in 3 stacks on 1 worker:" in launch(*command, "stack=16").out
