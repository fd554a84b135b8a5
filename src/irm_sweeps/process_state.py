"""Saving and restoring the settings that all code of a process shares: torch's, and the operating system's."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from irm_sweeps.errors import one_line

Put = Callable[[Any], Any]


@dataclass(frozen=True)
class Setting:
    """One setting, with the functions that read and set it.

    Attributes
    ----------
    new
        Its value in a new process; None where the machine or the user chooses it.
    """

    name: str
    get: Callable[[], Any]
    put: Put
    new: Any = None

    def become(self, value: Any) -> None:
        """Set a value, unless the value is None or the setting has it already."""
        if value is not None and self.get() != value:
            self.put(value)


@contextmanager
def restored(settings: Iterable[Setting]) -> Iterator[None]:
    """Set these settings back to their present values at the end of the block, in this order."""
    before = [(setting, setting.get()) for setting in settings]
    try:
        yield
    finally:
        for setting, value in before:
            if value is not None:
                setting.put(value)


@contextmanager
def fresh_state(*, environment: bool = True) -> Iterator[None]:
    """Give the block torch's settings of a new process; at the end, restore all settings, whatever the block set.

    So no trial's numbers depend on what ran before it in its process. Threads, environment variables, the umask and
    the working directory are restored, but not set at the start. A setting that cannot be restored is named on stderr;
    the others are restored all the same.
    Takes about 0.4 ms: for a call that draws, builds or trains, not for a step.

    Parameters
    ----------
    environment
        Whether environment variables are restored too.
    """
    before = [(setting, setting.get()) for setting in settings() if environment or setting is not ENVIRONMENT]
    working_directory = _open_working_directory()
    try:
        for setting, _ in before:
            setting.become(setting.new)
        yield
    finally:
        for setting, value in before:
            _put_back(setting.name, partial(setting.become, value))
        if working_directory is not None:
            _put_back("working directory", lambda: os.fchdir(working_directory))
            _put_back("working directory", lambda: os.close(working_directory))


def _put_back(name: str, put: Callable[[], Any]) -> None:
    """Restore one setting; a failure is printed, not raised, so that the block's own result or error gets through."""
    try:
        put()
    except Exception as error:
        with suppress(OSError, ValueError):  # stderr is closed, or the disk beneath it full
            print(f"cannot put back {name}: {one_line(str(error))}", file=sys.stderr)


def _open_working_directory() -> int | None:
    """Return a descriptor of the working directory, which stays valid if the directory is renamed meanwhile."""
    try:
        return os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
    except OSError:
        return None


def _umask() -> int | None:
    """Return the umask, read from /proc: `os.umask` reads it only by setting it, also for other threads."""
    try:
        with open("/proc/self/status") as file:
            return next((int(line.split()[1], 8) for line in file if line.startswith("Umask:")), None)
    except OSError:
        return None


def _put_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


ENVIRONMENT = Setting("environment", lambda: dict(os.environ), _put_environment)
UMASK = Setting("umask", _umask, os.umask)


@cache
def settings() -> tuple[Setting, ...]:
    """Return all settings that `fresh_state` restores, but for the working directory."""
    return (*_of_torch(), *_of_autocast(), *_of_libraries(), *_of_products(), ENVIRONMENT, UMASK)


def _of_torch() -> Iterator[Setting]:
    """Yield the settings that concern all operations."""
    import torch

    untyped: Any = torch
    yield Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    yield Setting("default device", torch.get_default_device, _put_default_device, torch.device("cpu"))
    yield Setting("gradients", torch.is_grad_enabled, untyped.set_grad_enabled, True)
    yield Setting(
        "anomaly detection",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda both: untyped.autograd.set_detect_anomaly(*both),
        (False, True),
    )
    yield deterministic_algorithms()
    yield from _attribute(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield Setting("flushed denormals", _flushes, torch.set_flush_denormal, False)
    yield Setting("threads", torch.get_num_threads, torch.set_num_threads)


def deterministic_algorithms() -> Setting:
    """Return torch's switch for repeatable kernels: (whether they are asked for, whether others only warn)."""
    import torch

    return Setting(
        "deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
        (False, False),
    )


def _flushes() -> bool:
    """Return whether numbers below the normal ones become 0, by trying: torch has no function that tells."""
    return sys.float_info.min * 0.5 == 0


def _of_autocast() -> Iterator[Setting]:
    import torch

    for device, dtype in (("cpu", torch.bfloat16), ("cuda", torch.float16)):
        enabled, chosen = partial(torch.is_autocast_enabled, device), partial(torch.get_autocast_dtype, device)
        yield Setting(f"autocast of {device}", enabled, partial(torch.set_autocast_enabled, device), False)
        yield Setting(f"autocast's dtype of {device}", chosen, partial(torch.set_autocast_dtype, device), dtype)
    yield Setting("autocast's cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True)
    yield Setting("regions of autocast", _regions, _put_regions, 0)


def _regions() -> int:
    """Return how many autocast regions are entered; rounded weights are cached until the last one ends."""
    import torch

    try:
        return torch.autocast_increment_nesting() - 1
    finally:
        torch.autocast_decrement_nesting()


def _put_regions(regions: int) -> None:
    import torch

    while _regions() < regions:
        torch.autocast_increment_nesting()
    while _regions() > regions:
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()


def _of_libraries() -> Iterator[Setting]:
    """Yield the settings that choose between the kernels of torch's libraries."""
    import torch

    backends: Any = torch.backends
    cudnn, cuda = backends.cudnn, backends.cuda
    for library in (cudnn, backends.mkldnn):
        yield from _attribute(library, "enabled", True)
        yield from _attribute(library, "deterministic", False)
    yield from _attribute(cudnn, "benchmark", False)
    yield from _attribute(cudnn, "benchmark_limit")
    yield from _attribute(cudnn, "depthwise_kernel", "auto")
    yield from _attribute(backends.opt_einsum, "enabled")
    yield from _attribute(backends.opt_einsum, "strategy")
    for kind in ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp"):
        if hasattr(cuda, f"{kind}_enabled"):
            yield Setting(kind, getattr(cuda, f"{kind}_enabled"), getattr(cuda, f"enable_{kind}"), True)


def _of_products() -> Iterator[Setting]:
    """Yield the number formats of matrix products; a format that others inherit, or that sets them, comes first."""
    import torch

    backends: Any = torch.backends
    cuda = backends.cuda
    for kind in ("fp16", "bf16"):
        yield from _reduced(f"allow_{kind}_reduced_precision_reduction")
    yield from _attribute(cuda.matmul, "allow_fp16_accumulation", False)
    if hasattr(cuda, "fp16_bf16_reduction_math_sdp_allowed"):
        put = cuda.allow_fp16_bf16_reduction_math_sdp
        yield Setting("math_sdp's sums", cuda.fp16_bf16_reduction_math_sdp_allowed, put, False)
    with warnings.catch_warnings():  # some versions of torch say once that there are newer switches
        warnings.simplefilter("ignore")
        _cudnn_tf32()
    yield cudnn_tf32()
    yield matmul_precision()
    yield from _attribute(backends, "fp32_precision", "none")
    yield from _attribute(backends.cudnn, "fp32_precision", "none")
    yield Setting(
        "mkldnn.fp32_precision",
        lambda: backends.mkldnn.fp32_precision,
        # To set the attribute would set that of all backends.
        lambda value: backends.mkldnn.set_flags(_fp32_precision=value),
        "none",
    )
    for backend in (backends.cudnn.conv, backends.cudnn.rnn):
        yield from _attribute(backend, "fp32_precision", "tf32")
    for backend in (cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn):
        yield from _attribute(backend, "fp32_precision", "none")


def _reduced(name: str) -> Iterator[Setting]:
    """Yield one of cuBLAS's switches, each a pair of switches in newer versions of torch."""
    import torch

    matmul: Any = torch.backends.cuda.matmul
    if not hasattr(matmul, f"{name}_split_k"):
        yield from _attribute(matmul, name, True)
        return
    both = (name, f"{name}_split_k")
    yield Setting(
        name, lambda: tuple(getattr(matmul, part) for part in both), partial(setattr, matmul, name), (True, True)
    )


def _attribute(owner: Any, name: str, new: Any = None) -> Iterator[Setting]:
    """Yield a setting that is an attribute, if this version of torch has it."""
    if hasattr(owner, name):
        yield attribute(owner, name, new)


def attribute(owner: Any, name: str, new: Any = None) -> Setting:
    """Return a setting that is an attribute of a module or an object of torch."""
    return Setting(f"{owner}.{name}", lambda: getattr(owner, name), partial(setattr, owner, name), new)


def cudnn_tf32() -> Setting:
    """Return torch's old switch for TF32 in cuDNN."""
    import torch

    return Setting("cudnn.allow_tf32", _cudnn_tf32, partial(setattr, torch.backends.cudnn, "allow_tf32"), True)


def _cudnn_tf32() -> bool:
    """Read the old switch, which torch allows only while the newer switches agree with it."""
    import torch

    cudnn: Any = torch.backends.cudnn
    with suppress(RuntimeError):
        return bool(cudnn.allow_tf32)
    parts = (cudnn.conv, cudnn.rnn)
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "tf32"
        return bool(cudnn.allow_tf32)
    except RuntimeError:
        return False
    finally:
        for part, precision in zip(parts, before, strict=True):
            part.fp32_precision = precision


def matmul_precision() -> Setting:
    """Return torch's one setting for the matrix products of all backends; None where these differ."""
    import torch

    return Setting("matmul precision", _matmul_precision, torch.set_float32_matmul_precision, "highest")


def _matmul_precision() -> str | None:
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _put_default_device(device: Any) -> None:
    import torch

    # None is the CPU too, without the mode of torch that intercepts every call.
    torch.set_default_device(None if device.type == "cpu" else device)
