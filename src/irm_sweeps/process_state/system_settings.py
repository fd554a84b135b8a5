"""The settings of a process that the operating system keeps."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from irm_sweeps.process_state.setting import ProcessSetting

LIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
CATCHABLE = tuple(int(one) for one in signal.Signals if one not in (signal.SIGKILL, signal.SIGSTOP))
_UMASK = re.compile(rb"^Umask:\s*([0-7]+)$", re.MULTILINE)
TIMERS = {"ITIMER_REAL": signal.ITIMER_REAL, "ITIMER_VIRTUAL": signal.ITIMER_VIRTUAL, "ITIMER_PROF": signal.ITIMER_PROF}


def of_system() -> Iterator[ProcessSetting]:
    """Yield the settings of the operating system."""
    yield ENVIRONMENT
    yield ProcessSetting("umask", _umask, os.umask)
    yield ProcessSetting("resource limits", _limits, _put_limits)
    if hasattr(os, "sched_getaffinity"):
        yield ProcessSetting("CPU affinity", lambda: os.sched_getaffinity(0), partial(os.sched_setaffinity, 0))
    yield ProcessSetting("signal handlers", _handlers, _put_handlers)
    yield ProcessSetting("timers", _running_timers, _put_timers)
    yield ProcessSetting("blocked signals", _blocked, partial(signal.pthread_sigmask, signal.SIG_SETMASK))
    with suppress(OSError, AttributeError):  # a C library without them
        libm = ctypes.CDLL(None)
        yield ProcessSetting("rounding of floating-point numbers", libm.fegetround, libm.fesetround, 0)


def _put_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


ENVIRONMENT = ProcessSetting("environment", lambda: dict(os.environ), _put_environment)


def _umask() -> int | None:
    """Return the umask, read from /proc: `os.umask` reads it only by setting it, also for other threads."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            found = _UMASK.search(file.read(1024))
    except OSError:
        return None
    return None if found is None else int(found[1], 8)


def _limits() -> dict[str, tuple[int, int]]:
    return {name: resource.getrlimit(number) for name, number in LIMITS.items()}


def _put_limits(limits: dict[str, tuple[int, int]]) -> None:
    for name, limit in limits.items():
        if resource.getrlimit(LIMITS[name]) != limit:
            resource.setrlimit(LIMITS[name], limit)


def _handlers() -> dict[int, Any]:
    """Return the handlers that Python code can set; those of native code count as the default."""
    return {signum: signal.getsignal(signum) for signum in CATCHABLE}


def _put_handlers(handlers: dict[int, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # nor could the block have set one
    for signum, handler in handlers.items():
        if handler is not None and signal.getsignal(signum) != handler:
            signal.signal(signum, handler)


def _blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _running_timers() -> frozenset[str]:
    return frozenset(name for name, which in TIMERS.items() if signal.getitimer(which)[0] > 0)


def _put_timers(running: frozenset[str]) -> None:
    """Stop the timers that the block has started; one that it has stopped stays so."""
    for name in _running_timers() - running:
        signal.setitimer(TIMERS[name], 0)
