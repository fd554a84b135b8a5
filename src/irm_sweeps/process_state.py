"""What all code in a process shares and a user's own may set: torch's settings, and the working directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One of them.

    Attributes
    ----------
    new
        Its value in a new process; None where that is the machine's or the user's choice.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], Any]
    new: Any = None

    def become(self, value: Any) -> None:
        """Put a value, unless it is none or there already."""
        if value is not None and self.get() != value:
            self.put(value)


@contextmanager
def fresh_state() -> Iterator[None]:
    """Let torch's settings be those of a new process; at the end, put back what was found, whatever was set meanwhile.

    So no trial's numbers depend on what ran before it in its process. Threads and the working directory stay as they
    are found. Some 0.1 ms: for a call that draws, builds or trains, not for a step.
    """
    found = [(setting, setting.get()) for setting in settings()]
    for setting, _ in found:
        setting.become(setting.new)
    try:
        yield
    finally:
        for setting, value in found:
            setting.become(value)


@cache
def settings() -> tuple[Setting, ...]:
    """Return all that are looked after."""
    import torch

    own: Any = torch
    filling: Any = torch.utils.deterministic
    return (
        Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        Setting("default device", torch.get_default_device, _put_default_device, torch.device("cpu")),
        Setting("gradients", torch.is_grad_enabled, own.set_grad_enabled, True),
        Setting(
            "anomaly detection",
            lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            lambda both: own.autograd.set_detect_anomaly(*both),
            (False, True),
        ),
        Setting(
            "deterministic algorithms",
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
            (False, False),
        ),
        _attribute(filling, "fill_uninitialized_memory", True),
        *(_attribute(torch.backends.cudnn, name, False) for name in ("benchmark", "deterministic")),
        Setting("matmul precision", _matmul_precision, torch.set_float32_matmul_precision, "highest"),
        # After it, which sets two of them; those that others fall back on come first.
        *(_attribute(backend, "fp32_precision", new) for backend, new in _precisions()),
        Setting("threads", torch.get_num_threads, torch.set_num_threads),
        Setting("working directory", _working_directory, os.chdir),
    )


def _attribute(owner: Any, name: str, new: Any) -> Setting:
    return Setting(f"{owner}.{name}", lambda: getattr(owner, name), lambda value: setattr(owner, name, value), new)


def _precisions() -> Iterator[tuple[Any, str]]:
    import torch

    backends: Any = torch.backends
    for backend in (backends, backends.cudnn, backends.mkldnn):
        yield backend, "none"
    for backend in (backends.cudnn.conv, backends.cudnn.rnn):
        yield backend, "tf32"
    for backend in (backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn):
        yield backend, "none"


def _matmul_precision() -> str | None:
    """Return torch's one word for all backends; None where they have been set apart and it has none."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _put_default_device(device: Any) -> None:
    import torch

    # None is the CPU without a mode that looks at every call.
    torch.set_default_device(None if device.type == "cpu" else device)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been removed
        return None
