"""Choosing and opening the device that a trial runs on, and its matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from irm_sweeps.errors import UserError, one_line
from irm_sweeps.process_state.setting import attribute, restored
from irm_sweeps.process_state.torch_settings import cudnn_tf32, deterministic_algorithms, matmul_precision

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


def visible_gpus(device: str) -> list[str]:
    """Return the GPUs that `device` and CUDA_VISIBLE_DEVICES allow, as CUDA_VISIBLE_DEVICES names them."""
    import os

    import torch

    if device == "cpu" or torch.cuda.device_count() == 0:
        return []
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        gpus = _shown([name.strip() for name in allowed.split(",")], torch.cuda.device_count())
    else:
        gpus = [str(index) for index in range(torch.cuda.device_count())]
    if device.startswith("cuda:"):
        index = int(device.removeprefix("cuda:"))
        if index >= len(gpus):
            raise UserError(f"device={device}: CUDA_VISIBLE_DEVICES shows {len(gpus)} GPUs")
        return [gpus[index]]
    return gpus


def _shown(names: Sequence[str], n: int) -> list[str]:
    """Return those of the names in CUDA_VISIBLE_DEVICES that CUDA shows, of which one process sees `n`.

    CUDA shows those before the first name that it does not know: an empty one, `-1`, a GPU that is not there. Of parts
    of GPUs (MIG) it shows a process the first only, but each can have a process of its own.
    """
    if names[0].startswith("MIG-"):
        return list(dict.fromkeys(takewhile(lambda name: name.startswith("MIG-"), names)))
    return list(takewhile(bool, names))[:n]


def open_device(device: torch.device) -> None:
    """Start using a device, in the process that will train on it: on a GPU this creates CUDA's context.

    Raises
    ------
    UserError
        CUDA does not start there: the GPU is another process's alone, the driver too old, or the hardware broken.
    """
    if device.type != "cuda":
        return
    import torch

    try:
        torch.cuda.set_device(device.index or 0)
        torch.zeros(1, device=device).add_(1).tolist()
    except (RuntimeError, AssertionError) as error:
        reason = one_line(str(error).partition("\n")[0])
        raise UserError(
            f"device={device}: CUDA does not start ({reason}): look at nvidia-smi, or use device=cpu"
        ) from None


def is_lost(device: torch.device) -> bool:
    """Return whether a GPU has stopped answering this process, which is permanent after a fault in a kernel."""
    if device.type != "cuda":
        return False
    import torch

    try:
        torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return False
    except RuntimeError:
        return True
    return False


def free_memory(gpus: Sequence[str] | None) -> int | None:
    """Return the free bytes of the fullest of these GPUs, without GPUs of main memory; None where they are unknown.

    They are asked of nvidia-smi, not of CUDA: that would keep a context on the GPU, and on a GPU in exclusive mode no
    other process would get one. GPUs are named as in CUDA_VISIBLE_DEVICES.
    """
    import os

    if not gpus:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    answers = _nvidia_smi("memory.free", f"--id={','.join(dict.fromkeys(gpus))}")
    return min(map(int, answers)) * 2**20 if answers and all(answer.isdecimal() for answer in answers) else None


@cache
def driver_version() -> str | None:
    """Return the version of NVIDIA's driver; None where it is unknown."""
    answers = _nvidia_smi("driver_version")
    return answers[0] if answers else None


def _nvidia_smi(what: str, *options: str) -> list[str]:
    """Return nvidia-smi's answer for each GPU; an empty list where it cannot be run."""
    import subprocess

    query = ["nvidia-smi", *options, f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


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
def numerics(device: torch.device, large: bool) -> Iterator[None]:
    """Set how a device takes matrix products: a GPU with `exact_products`, a CPU's large ones with `quick_products`."""
    with exact_products() if device.type == "cuda" else quick_products(large):
        yield


def numeric_state(device: torch.device, dtype: torch.dtype, precision: str) -> dict[str, Any]:
    """Return what decides how numbers are rounded and summed now, to be recorded with a result.

    Parameters
    ----------
    dtype
        Number format of the parameters.
    precision
        The trial's `training.precision`.
    """
    import torch

    return {
        "dtype": str(dtype).removeprefix("torch."),
        "precision": precision,
        "matmul_precision": matmul_precision().get(),
        **({"cudnn_tf32": cudnn_tf32().get()} if device.type == "cuda" else {}),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


@contextmanager
def exact_products() -> Iterator[None]:
    """Let a GPU compute float32 in float32, and the same bits in every run.

    By torch's default cuDNN rounds what float32 convolutions and recurrent layers multiply to TF32 (10 bits of
    mantissa), and may take kernels whose sums come in any order. An operation without a repeatable kernel, in a user's
    own method say, warns. The settings are the process's; they are restored at the end.
    """
    import os

    import torch

    # cuBLAS needs it for repeatable sums, and reads it when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    backends: Any = torch.backends
    cudnn = backends.cudnn
    # All of cuDNN's, and the old switch: torch refuses to read that, or to enter `cudnn.flags`, where they differ.
    formats = [backends.cuda.matmul, cudnn, cudnn.conv, cudnn.rnn]
    fill, deterministic = attribute(torch.utils.deterministic, "fill_uninitialized_memory"), deterministic_algorithms()
    with restored([fill, deterministic, cudnn_tf32(), *(attribute(backend, "fp32_precision") for backend in formats)]):
        enabled, only_warns = deterministic.get()
        cudnn.allow_tf32 = False
        for backend in formats:
            backend.fp32_precision = "ieee"
        deterministic.put((True, not enabled or only_warns))
        fill.put(False)
        yield


@contextmanager
def quick_products(worth: bool = True) -> Iterator[None]:
    """Take float32 matrix products on the CPU with oneDNN in place of MKL, where it keeps float32.

    MKL does not use all of an AMD core: on one with AVX-512, products of 10,000 x 390 x 390 ran at 43-80 GFLOP/s with
    MKL and at 81-98 with oneDNN. Each product takes some 20 microseconds more to begin, so small ones are not `worth`
    it. The settings are the process's; they are restored at the end.
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
    backends: Any = torch.backends
    formats = [backends.mkldnn.matmul, backends.cuda.matmul]
    common = matmul_precision()
    with restored([common, *(attribute(backend, "fp32_precision") for backend in formats)]):
        if common.get() is None:
            formats[0].fp32_precision = "bf16"
        else:  # the same, and torch's common setting can still be read
            common.put("medium")
        yield


@cache
def _onednn_keeps_float32() -> bool:
    """Return whether oneDNN computes in float32, by multiplying a number that bfloat16 would round by one."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    numbers = torch.full((256, 256), 1 + 2**-20, dtype=torch.float32, device="cpu")
    with _onednn():
        return torch.equal(numbers @ torch.eye(256), numbers)


@cache
def rectifies_while_multiplying() -> bool:
    """Return whether oneDNN has a kernel for ReLU(x W^T + b), by a product that bfloat16 would round."""
    import torch

    if not _onednn_keeps_float32():
        return False
    numbers = torch.full((256, 256), -1.0, dtype=torch.float32, device="cpu").fill_diagonal_(1 + 2**-20)
    try:
        with _onednn():
            product = torch.ops.mkldnn._linear_pointwise(numbers, torch.eye(256), torch.zeros(256), "relu", [], "")
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(product, numbers.relu())
