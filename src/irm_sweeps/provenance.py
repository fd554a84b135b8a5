"""Where a result comes from: code, versions, device."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("irm-sweeps", "torch", "torchvision", "numpy", "hydra-core", "omegaconf")


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any] | None:
    """Return commit and dirtiness of the checkout this package lies in; None outside a checkout."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


@lru_cache(maxsize=1)
def software() -> dict[str, Any]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def hardware(device: Any) -> dict[str, Any]:
    """Return what the trial ran on: what may change the last bits of a sum."""
    import torch

    threads = torch.get_num_threads()
    if device.type == "cuda":
        return {"device": "cuda", "name": torch.cuda.get_device_name(device), "threads": threads}
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"device": device.type, "name": platform.machine(), "instructions": instructions, "threads": threads}
