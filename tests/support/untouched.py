"""Check that each test restores the state of the process, so that tests do not depend on their order."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
import torch

NOTES = ("PYTEST_", "KMP_", "MLFLOW_", "WANDB_", "TORCHINDUCTOR_", "_TORCHINDUCTOR_")
"""Prefixes of environment variables that pytest and the libraries set for themselves."""
HANDLED = sorted(set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})


def state() -> dict[str, Any]:
    """Return, by name, the state of the process that tests share and could change."""
    return {
        "sys.exit": sys.exit,
        "sys.excepthook": sys.excepthook,
        "sys.argv": tuple(sys.argv),
        "threading.excepthook": threading.excepthook,
        "the working directory": os.getcwd(),
        "socket.getdefaulttimeout()": socket.getdefaulttimeout(),
        "the root logger's level": logging.root.level,
        "pip in sys.modules": "pip" in sys.modules,
        **{f"the handler of {one.name}": signal.getsignal(one) for one in HANDLED},
        **{f"${name}": value for name, value in os.environ.items() if not name.startswith(NOTES)},
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_default_device()": torch.get_default_device(),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
    }


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Fail a test that leaves `state` changed. Each test gets a copy of `sys.path`, because commands extend it."""
    before = state()
    with patch.object(sys, "path", [*sys.path]):
        yield
    after = state()
    changed = [
        f"{name}: {before.get(name)!r} became {after.get(name)!r}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    assert not changed, "left changed for the tests that follow in this process:\n" + "\n".join(changed)
