"""A method in a user's file that leaves nothing in its process as it was; `method._target_=poisoner.Poisoner`."""

from __future__ import annotations

import gc
import locale
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Move


class Doubling(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result * 2 if func is torch.Tensor.mean else result


class Passing(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def double(module: Any, inputs: Any, output: Any) -> Any:
    del module, inputs
    return output * 2


def settings() -> None:
    """Set everything that can be set back."""
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)  # type: ignore[no-untyped-call]
    torch.set_float32_matmul_precision("medium")
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(3)
    torch.set_autocast_enabled("cpu", True)
    torch.backends.mha.set_fastpath_enabled(False)
    torch.inference_mode().__enter__()  # type: ignore[no-untyped-call]
    torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t).__enter__()
    torch.nn.modules.module.register_module_forward_hook(double)
    Doubling().__enter__()
    Passing().__enter__()
    torch.set_default_device("meta")
    np.seterr(all="raise")
    random.seed(0), np.random.seed(0), torch.default_generator.manual_seed(0)
    warnings.simplefilter("error")
    gc.disable()
    sys.setrecursionlimit(220)
    sys.path.insert(0, "/nowhere")
    locale.setlocale(locale.LC_ALL, "C")
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.setitimer(signal.ITIMER_REAL, 1000)
    os.umask(0o777)
    os.environ["OMP_NUM_THREADS"] = "7"
    os.chdir("/")
    sys.stdout.close()
    os.close(2)


def functions() -> None:
    """Replace functions of torch and numpy, which nothing can undo for those that have imported them."""
    torch.nn.functional.relu = torch.nn.functional.gelu
    torch.Tensor.__add__ = lambda self, other: torch.add(self, other) * 1.5  # type: ignore[assignment]
    np.concatenate = np.stack  # type: ignore[assignment]


def threads() -> None:
    """Start a thread that outlives the trial and would keep the process alive."""
    threading.Thread(target=time.sleep, args=(1000,), name="of the standard library").start()
    threading.Thread(target=wait, name="left behind").start()


def wait() -> None:
    time.sleep(1000)


def fork() -> None:
    """Let a child come back from the training, as the worker does."""
    os.fork()


Deed = Literal[
    "settings",
    "functions",
    "threads",
    "fork",
    "dtype",
    "gradients",
    "folder",
    "umask",
    "variables",
    "stdout",
    "torch_threads",
]
DEEDS: dict[Deed, Callable[[], Any]] = {
    "settings": settings,
    "functions": functions,
    "threads": threads,
    "fork": fork,
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(False),  # type: ignore[no-untyped-call]
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o777),
    "variables": lambda: os.environ.clear(),
    "stdout": lambda: sys.stdout.close(),
    "torch_threads": lambda: torch.set_num_threads(3),
}
"""What each deed does."""


class Poisoner(ERM):
    """ERM that does its deed at the third step."""

    deed: Deed

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        if step == 2:
            DEEDS[self.deed]()
        return super().moves(step, environments)
