"""Devices: the meaning of their names, opening them, and the precision of products on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import SMALL, Desk
from irm_sweeps import provenance
from irm_sweeps.device import driver_version, exact_products, is_lost, numerics, open_device, quick_products
from irm_sweeps.errors import UserError
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import trials

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def state() -> tuple[Any, ...]:
    return (
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.cudnn.conv.fp32_precision,
        torch.backends.cudnn.rnn.fp32_precision,
        torch.backends.cudnn.fp32_precision,
        torch.backends.cudnn.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


def test_float32_is_float32_on_a_gpu_and_its_sums_have_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be taken away afterwards")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    assert torch.backends.cudnn.conv.fp32_precision == "tf32", "torch's default, which this is about"
    with numerics(GPU, large=True):
        assert state() == ("ieee", "ieee", "ieee", "ieee", False, True, True, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    with numerics(CPU, large=False):
        assert torch.backends.cudnn.conv.fp32_precision == "tf32"
        assert not torch.are_deterministic_algorithms_enabled()


def test_switches_of_cudnn_can_be_read_and_set_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user's backbone may do: torch refuses where its newer and older switches disagree."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn: Any = torch.backends.cudnn
    with exact_products():
        inside = state()
        with cudnn.flags(enabled=False):
            assert not cudnn.enabled
        assert state() == inside
        assert cudnn.rnn.fp32_precision == "ieee"
        assert cudnn.allow_tf32 is False


@pytest.mark.parametrize("word", ["highest", "high"])
def test_torch_s_word_for_products_can_be_read_meanwhile(word: str) -> None:
    """As `torch.nn` and users' code read it, in a large training on a CPU."""
    before = torch.get_float32_matmul_precision(), state()
    torch.set_float32_matmul_precision(word)
    try:
        with quick_products():
            torch.get_float32_matmul_precision()
        assert torch.get_float32_matmul_precision() == word
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.mkldnn.matmul.fp32_precision = torch.backends.cuda.matmul.fp32_precision = "none"
    assert state() == before[1]


def test_what_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    torch.use_deterministic_algorithms(True)
    try:
        with exact_products():
            assert not torch.is_deterministic_algorithms_warn_only_enabled(), "an error where the user wants one"
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_gpu_that_does_not_start_is_one_clear_line() -> None:
    open_device(CPU)
    with pytest.raises(
        UserError, match=r"^device=cuda: CUDA does not start \(.+\): look at nvidia-smi, or use device=cpu$"
    ):
        open_device(GPU)


def test_no_other_gpu_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pin_memory` opens the current one, which is the first unless another was set."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "zeros", lambda *size, device: torch.ones(*size))
    open_device(torch.device("cuda:1"))
    assert chosen == [1]


def test_a_worker_whose_gpu_does_not_start_trains_on_nothing_else(desk: Desk) -> None:
    """`device=auto` meant the GPU when the sweep began."""
    store = Store(desk.results)
    store.prepare()
    (trial,) = trials(SMALL[:-1]).values()
    settings = RunSettings(data_dir="data", device="auto", on_error="continue", checkpoint_seconds=30)
    write_manifest(store, "sweep", {trial.id: trial.canonical}, [[trial.id]], settings)
    task = f"WorkerTask({str(store.root)!r}, 'sweep', visible_gpu='99')()"
    answer = desk.answer(
        desk.start("-c", f"from irm_sweeps.launchers.worker_task import WorkerTask; {task}", command=())
    )
    assert "device=cuda: CUDA does not start" in answer.complaint
    assert not store.has_result(trial.id)


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (None, False),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
    ],
)
def test_a_gpu_is_lost_if_it_does_not_answer(
    answer: Exception | None, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def synchronize(device: torch.device) -> None:
        if answer:
            raise answer

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert is_lost(GPU) is lost
    assert not is_lost(CPU)


def test_a_result_says_which_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '570.1\\n570.1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA X")
    driver_version.cache_clear()
    found = provenance.hardware(GPU)
    driver_version.cache_clear()
    assert found["driver"] == "570.1"
    assert set(found) == {"device", "name", "driver", "cuda", "cudnn", "threads"}
