"""The local pool's slots: on the allowed GPUs only, else on the CPU cores."""

from __future__ import annotations

import os

import pytest
import torch

from irm_sweeps.errors import UserError
from irm_sweeps.launchers.local import Local
from irm_sweeps.launchers.worker_pool import Slot


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four GPUs, of which CUDA_VISIBLE_DEVICES allows some."""

    def count() -> int:
        allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
        return 4 if allowed is None else len([name for name in allowed.split(",") if name not in ("", "-1")])

    monkeypatch.setattr(torch.cuda, "device_count", count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count() > 0)


def names(launcher: Local, device: str = "auto") -> list[str]:
    return [slot.gpu for slot in launcher.slots(device)]


def test_without_a_gpu_each_core_is_a_slot() -> None:
    assert Local(None, 1, None).slots("auto") == [Slot("", 1)] * 8
    assert Local(None, 1, 4).slots("auto") == [Slot("", 4)] * 2
    assert Local(2, 1, None).slots("cpu") == [Slot("", 4)] * 2
    assert Local(3, 1, 1).slots("cpu") == [Slot("", 1)] * 3
    assert Local(None, 1, 99).slots("cpu") == [Slot("", 99)]


def test_each_gpu_is_a_slot(gpus: None) -> None:
    assert Local(None, 1, None).slots("auto") == [Slot(str(i), 2) for i in range(4)]
    assert Local(None, 1, None).uses_gpu("auto")
    assert Local(None, 1, None).workers("auto") == 4


def test_only_visible_gpus_are_used(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert names(Local(None, 1, None)) == ["2", "3"]
    assert names(Local(None, 2, None)) == ["2", "3", "2", "3"]
    assert names(Local(3, 1, None)) == ["2", "3", "2"]
    assert names(Local(None, 1, None), "cuda:1") == ["3"]
    assert names(Local(None, 2, None), "cuda:0") == ["2", "2"]
    with pytest.raises(UserError, match="device=cuda:2: this machine shows 2 GPUs"):
        Local(None, 1, None).slots("cuda:2")


def test_only_gpus_that_cuda_shows_are_used(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows those before the first name that it does not know."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,-1,2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert names(Local(None, 1, None)) == ["1"]


def test_a_gpu_by_its_uuid(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa, GPU-bb")
    assert names(Local(None, 1, None)) == ["GPU-aa", "GPU-bb"]


@pytest.mark.parametrize(
    ("listed", "seen", "used"),
    [
        ("0,-1,1", 1, ["0"]),
        (" 1 , 0 ", 2, ["1", "0"]),
        ("0,,1", 1, ["0"]),
        ("0,9,1", 1, ["0"]),
        ("GPU-aa,GPU-none,GPU-bb", 1, ["GPU-aa"]),
        ("0,0", 0, []),
        ("9", 0, []),
        ("NoDevFiles", 0, []),
        ("MIG-aa,MIG-bb", 1, ["MIG-aa", "MIG-bb"]),
        ("MIG-aa, MIG-aa,-1,MIG-bb", 1, ["MIG-aa"]),
    ],
)
def test_what_cuda_visible_devices_means(
    gpus: None, monkeypatch: pytest.MonkeyPatch, listed: str, seen: int, used: list[str]
) -> None:
    """`seen` is what torch, by CUDA's rule, counts in one process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen > 0)
    assert [name for name in names(Local(1 if not used else None, 1, None)) if name] == used


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_not_used(gpus: None, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert Local(None, 1, None).slots("auto") == [Slot("", 1)] * 8
    assert not Local(None, 1, None).uses_gpu("auto")
    with pytest.raises(UserError, match="device=cuda: this machine shows 0 GPUs"):
        Local(None, 1, None).slots("cuda")


def test_the_cpu_is_used_where_it_is_asked_for(gpus: None) -> None:
    assert names(Local(2, 1, None), "cpu") == ["", ""]


@pytest.mark.parametrize("value", [0, -1, 1.5, "two", True])
def test_a_wrong_number_of_slots_is_named(value: object) -> None:
    with pytest.raises(UserError, match=r"hydra.launcher.slots=.*: must be a whole number of at least 1"):
        Local(value, 1, None)  # type: ignore[arg-type]
