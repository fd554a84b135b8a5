"""Which device a trial runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Return the device that `device=NAME` means.

    Raises
    ------
    UserError
        There is no such device on this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device={name}: choose auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device={name}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: this machine shows {torch.cuda.device_count()} GPUs; use device=auto")
    return device


def free_memory(on_gpu: bool) -> int | None:
    """Return the bytes that are free on the fullest GPU, else of main memory; None where nothing tells.

    The driver's own tool is asked, not CUDA: that would keep a context on the GPU, and of a GPU in exclusive mode
    nobody else would get one.
    """
    import os
    import subprocess

    if not on_gpu:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
        return min(int(line) for line in answer.stdout.split("\n") if line.strip()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def tame_allocator() -> None:
    """Let glibc keep freed memory instead of returning it to the kernel at every step.

    A full-batch step frees and allocates tens of megabytes of activations; by default each allocation is a
    fresh mapping whose pages fault one by one. Does nothing where the C library has no `mallopt`.
    """
    import ctypes

    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_top_pad, 256 * 2**20)
    except (OSError, AttributeError):
        return


@contextmanager
def quick_products(worth: bool = True) -> Iterator[None]:
    """Take float32 matrix products on the CPU with oneDNN in place of MKL, where it keeps float32.

    MKL does not use all of an AMD core: on one with AVX-512, products of 10,000 x 390 x 390 ran at 43-80 GFLOP/s with
    MKL and at 81-98 with oneDNN. Each product takes some 20 microseconds more to begin, so small ones are not `worth`
    it. The state is the process's; it is put back at the end.
    """
    if not (worth and _onednn_keeps_float32()):
        yield
        return
    with _onednn():
        yield


@contextmanager
def _onednn() -> Iterator[None]:
    import torch

    # torch has no switch for oneDNN itself, only one that lets it round float32 to bfloat16; it does so on
    # processors with matrix tiles (AMX), else it computes in float32.
    library: Any = torch.backends.mkldnn
    backend = library.matmul
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    try:
        yield
    finally:
        backend.fp32_precision = before


@cache
def _onednn_keeps_float32() -> bool:
    """Multiply by one a number that bfloat16 would round."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    numbers = torch.full((256, 256), 1 + 2**-20)
    with _onednn():
        return torch.equal(numbers @ torch.eye(256), numbers)
