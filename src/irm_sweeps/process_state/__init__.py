"""Saving and restoring the settings that all code of a process shares: torch's, Python's and the operating system's."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from typing import Any

from irm_sweeps.errors import one_line
from irm_sweeps.process_state.setting import ProcessSetting, attribute, restored
from irm_sweeps.process_state.streams import standard_streams
from irm_sweeps.process_state.system_settings import ENVIRONMENT

__all__ = ["ENVIRONMENT", "ProcessSetting", "attribute", "fresh_state", "not_restored", "process_settings", "restored"]

not_restored: list[str] = []
"""Names of the settings that this process could not restore, in the order of the attempts."""


@contextmanager
def fresh_state(*, environment: bool = True, seed: int | None = None) -> Iterator[None]:
    """Give the block torch's and Python's settings of a new process; at the end, restore all settings.

    So no trial's numbers depend on what ran before it in its process. What the machine or the user chooses (threads,
    environment variables, umask, working directory, limits, signal handlers) is restored, but not set at the start. A
    setting that cannot be restored is named on stderr and in `not_restored`; the others are restored all the same.
    Functions that the block replaces are no settings: see `replaced`. What it registers with `atexit` stays, and is
    called when the process ends, after its last trial.
    Takes up to 1 ms: for a call that draws, builds or trains, not for a step.

    Parameters
    ----------
    environment
        Whether environment variables are restored too.
    seed
        Where the global random generators of Python, numpy and torch begin in the block; None leaves them as they
        are. They are restored at the end.
    """
    from irm_sweeps.process_state.random_generators import set_seed

    before = [(setting, setting.get()) for setting in process_settings() if environment or setting is not ENVIRONMENT]
    with ExitStack() as restoring:
        restoring.callback(_put_back_all, before)
        restoring.push(_working_directory())
        restoring.push(standard_streams(_put_back))
        if any(setting.new is not None and value != setting.new for setting, value in before):
            for setting, _ in before:  # all, and each read again: to set one may change another
                setting.become(setting.new)
        if seed is not None:
            set_seed(seed)
        yield


def _put_back_all(before: list[tuple[ProcessSetting, Any]]) -> None:
    for setting, value in before:
        _put_back(setting.name, partial(setting.become, value))


def _put_back(name: str, put: Callable[[], Any]) -> None:
    """Restore one thing; a failure is printed, not raised, so that the block's own result or error gets through."""
    try:
        put()
    except Exception as error:
        not_restored.append(name)
        with suppress(OSError, ValueError, AttributeError):  # stderr is closed, or the disk beneath it full
            print(f"cannot put back {name}: {one_line(str(error))}", file=sys.stderr)


def _working_directory() -> Callable[..., None]:
    """Return a function that goes back to the present working directory, also if it is renamed meanwhile."""
    try:
        descriptor = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
    except OSError:
        return lambda *_: None

    def go_back(*_: object) -> None:
        _put_back("working directory", lambda: os.fchdir(descriptor))
        _put_back("working directory", lambda: os.close(descriptor))

    return go_back


@cache
def process_settings() -> tuple[ProcessSetting, ...]:
    """Return all settings that `fresh_state` restores, in this order, but for working directory and streams."""
    from irm_sweeps.process_state import (
        python_settings,
        random_generators,
        system_settings,
        torch_modes,
        torch_settings,
    )

    return (
        *torch_modes.modes(),
        *torch_settings.of_torch(),
        *python_settings.of_python(),
        *random_generators.generators(),
        *system_settings.of_system(),
    )
