"""The provenance of a result: code, versions, device."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from irm_sweeps.device import driver_version
from irm_sweeps.user_code.syntax_digest import digest_of_all, syntax_digest

PACKAGES = ("irm-sweeps", "torch", "torchvision", "numpy", "hydra-core", "omegaconf")
_ROOT = Path(__file__).parents[2]
"""The checkout this package lies in, where it lies in one."""


def git_state() -> dict[str, Any] | None:
    """Return commit and dirtiness of the checkout this package lies in; None outside a checkout."""
    root = _checkout(_ROOT)
    return _state(root) if root == _ROOT.resolve() else None


def own_git_state(modules: Iterable[str]) -> dict[str, Any] | None:
    """Return commit and dirtiness of the checkout, other than this package's, in which one of these modules lies.

    Of modules that are imported from a sweep's copy it is the state at the launch.
    """
    modules = list(modules)
    if noted := next((_AT_LAUNCH[name] for name in modules if name in _AT_LAUNCH), None):
        return dict(noted)
    files = [getattr(sys.modules.get(name), "__file__", None) for name in modules]
    roots = [_checkout(Path(file).parent) for file in files if file]
    return next((_state(root) for root in roots if root not in (None, _ROOT.resolve())), None)


def note_own_git_state(modules: Iterable[str], state: Mapping[str, Any]) -> None:
    """Let `own_git_state` return this state for modules: they are imported from copies that were made in it."""
    _AT_LAUNCH.update(dict.fromkeys(modules, state))


_AT_LAUNCH: dict[str, Mapping[str, Any]] = {}


@cache
def _checkout(folder: Path) -> Path | None:
    root = _git(folder, "rev-parse", "--show-toplevel")
    return None if root is None else Path(root).resolve()


@cache
def _state(root: Path) -> dict[str, Any] | None:
    commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of a git command; None where there is no git, no checkout or no commit."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def package_sources() -> dict[str, bytes]:
    """Return what the source files of this package hold, by path."""
    package = Path(__file__).parent
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in sorted(package.rglob("*.py"))}


def note_package_state() -> None:
    """Look at this package's files and its checkout now, while both are what has been imported."""
    git_state()
    package_sources()


def package_sha256() -> str:
    """Return the sha256 of the syntax trees of this package: equal for versions that differ in comments only.

    It takes half a second once, unless it has been noted.
    """
    if not _PACKAGE_SHA256:
        note_package_sha256(digest_of_all({path: syntax_digest(source) for path, source in package_sources().items()}))
    return _PACKAGE_SHA256[0]


def note_package_sha256(sha256: str) -> None:
    """Let `package_sha256` return this: a process with the same sources has computed it."""
    _PACKAGE_SHA256[:] = [sha256]


_PACKAGE_SHA256: list[str] = []


@lru_cache(maxsize=1)
def software() -> dict[str, Any]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def hardware(device: Any) -> dict[str, Any]:
    """Return the device that the trial ran on, with what may change the last bits of a sum."""
    import torch

    threads = torch.get_num_threads()
    if device.type == "cuda":
        versions = {
            "driver": driver_version(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
        return {"device": "cuda", "name": torch.cuda.get_device_name(device), **versions, "threads": threads}
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"device": device.type, "name": platform.machine(), "instructions": instructions, "threads": threads}
