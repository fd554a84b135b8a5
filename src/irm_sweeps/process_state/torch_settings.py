"""The settings of torch that all code of a process shares."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from irm_sweeps.process_state.setting import ProcessSetting, optional_attribute


def of_torch() -> Iterator[ProcessSetting]:
    """Yield all settings; a setting that others inherit, or that sets them, comes first."""
    yield from _of_all_operations()
    yield from _of_autocast()
    yield from _of_libraries()
    yield from _of_modules()
    yield from _of_products()


def _of_all_operations() -> Iterator[ProcessSetting]:
    """Yield the settings that concern all operations."""
    import torch

    untyped: Any = torch
    yield ProcessSetting("default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    yield ProcessSetting("gradients", torch.is_grad_enabled, untyped.set_grad_enabled, True)
    yield ProcessSetting(
        "anomaly detection",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda both: untyped.autograd.set_detect_anomaly(*both),
        (False, True),
    )
    yield deterministic_algorithms()
    yield from optional_attribute(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield ProcessSetting("flushed denormals", _flushes, torch.set_flush_denormal, False)
    yield ProcessSetting("threads", torch.get_num_threads, torch.set_num_threads)
    yield ProcessSetting("interop threads", torch.get_num_interop_threads, torch.set_num_interop_threads)
    yield ProcessSetting("repeated warnings", torch.is_warn_always_enabled, torch.set_warn_always, False)


def deterministic_algorithms() -> ProcessSetting:
    """Return torch's switch for repeatable kernels: (whether they are asked for, whether others only warn)."""
    import torch

    return ProcessSetting(
        "deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
        (False, False),
    )


def _flushes() -> bool:
    """Return whether numbers below the normal ones become 0, by trying: torch has no function that tells."""
    return sys.float_info.min * 0.5 == 0


def _of_autocast() -> Iterator[ProcessSetting]:
    import torch

    for device, dtype in (("cpu", torch.bfloat16), ("cuda", torch.float16)):
        enabled, chosen = partial(torch.is_autocast_enabled, device), partial(torch.get_autocast_dtype, device)
        yield ProcessSetting(f"autocast of {device}", enabled, partial(torch.set_autocast_enabled, device), False)
        yield ProcessSetting(f"autocast's dtype of {device}", chosen, partial(torch.set_autocast_dtype, device), dtype)
    yield ProcessSetting("autocast's cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True)
    yield ProcessSetting("regions of autocast", _regions, _put_regions, 0)


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


def _of_libraries() -> Iterator[ProcessSetting]:
    """Yield the settings that choose between the kernels of torch's libraries."""
    import torch

    backends: Any = torch.backends
    native: Any = torch._C
    cudnn, cuda = backends.cudnn, backends.cuda
    for library in (cudnn, backends.mkldnn):
        yield from optional_attribute(library, "enabled", True)
        yield from optional_attribute(library, "deterministic", False)
    yield from optional_attribute(cudnn, "benchmark", False)
    yield from optional_attribute(cudnn, "benchmark_limit")
    yield from optional_attribute(cudnn, "depthwise_kernel", "auto")
    yield from optional_attribute(backends.opt_einsum, "enabled")
    yield from optional_attribute(backends.opt_einsum, "strategy")
    for kind in ("preferred_linalg_library", "preferred_blas_library"):
        if hasattr(cuda, kind):
            yield ProcessSetting(kind, getattr(cuda, kind), getattr(cuda, kind))
    if hasattr(backends, "mha"):
        yield ProcessSetting("mha", backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled, True)
    if hasattr(native, "_get_nnpack_enabled"):
        yield ProcessSetting("nnpack", native._get_nnpack_enabled, native._set_nnpack_enabled)
    yield from optional_attribute(backends.quantized, "engine")
    for kind in ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp"):
        if hasattr(cuda, f"{kind}_enabled"):
            yield ProcessSetting(kind, getattr(cuda, f"{kind}_enabled"), getattr(cuda, f"enable_{kind}"), True)


def _of_modules() -> Iterator[ProcessSetting]:
    """Yield the settings of `torch.nn.Module`."""
    import torch

    convert: Any = torch.__future__
    for kind in ("overwrite_module_params_on_conversion", "swap_module_params_on_conversion"):
        if hasattr(convert, f"get_{kind}"):
            yield ProcessSetting(kind, getattr(convert, f"get_{kind}"), getattr(convert, f"set_{kind}"), False)


def _of_products() -> Iterator[ProcessSetting]:
    """Yield the number formats of matrix products; a format that others inherit, or that sets them, comes first."""
    import torch

    backends: Any = torch.backends
    cuda = backends.cuda
    for kind in ("fp16", "bf16"):
        yield from _reduced(f"allow_{kind}_reduced_precision_reduction")
    yield from optional_attribute(cuda.matmul, "allow_fp16_accumulation", False)
    if hasattr(cuda, "fp16_bf16_reduction_math_sdp_allowed"):
        put = cuda.allow_fp16_bf16_reduction_math_sdp
        yield ProcessSetting("math_sdp's sums", cuda.fp16_bf16_reduction_math_sdp_allowed, put, False)
    with warnings.catch_warnings():  # some versions of torch say once that there are newer switches
        warnings.simplefilter("ignore")
        _cudnn_tf32()
    yield cudnn_tf32()
    yield matmul_precision()
    yield from optional_attribute(backends, "fp32_precision", "none")
    yield from optional_attribute(backends.cudnn, "fp32_precision", "none")
    yield ProcessSetting(
        "mkldnn.fp32_precision",
        lambda: backends.mkldnn.fp32_precision,
        # To set the attribute would set that of all backends.
        lambda value: backends.mkldnn.set_flags(_fp32_precision=value),
        "none",
    )
    for backend in (backends.cudnn.conv, backends.cudnn.rnn):
        yield from optional_attribute(backend, "fp32_precision", "tf32")
    for backend in (cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn):
        yield from optional_attribute(backend, "fp32_precision", "none")


def _reduced(name: str) -> Iterator[ProcessSetting]:
    """Yield one of cuBLAS's switches, each a pair of switches in newer versions of torch."""
    import torch

    matmul: Any = torch.backends.cuda.matmul
    if not hasattr(matmul, f"{name}_split_k"):
        yield from optional_attribute(matmul, name, True)
        return
    both = (name, f"{name}_split_k")
    yield ProcessSetting(
        name, lambda: tuple(getattr(matmul, part) for part in both), partial(setattr, matmul, name), (True, True)
    )


def cudnn_tf32() -> ProcessSetting:
    """Return torch's old switch for TF32 in cuDNN."""
    import torch

    return ProcessSetting("cudnn.allow_tf32", _cudnn_tf32, partial(setattr, torch.backends.cudnn, "allow_tf32"), True)


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


def matmul_precision() -> ProcessSetting:
    """Return torch's one setting for the matrix products of all backends; None where these differ."""
    import torch

    return ProcessSetting("matmul precision", _matmul_precision, torch.set_float32_matmul_precision, "highest")


def _matmul_precision() -> str | None:
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
