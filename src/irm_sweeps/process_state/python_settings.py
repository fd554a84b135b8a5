"""The settings of the Python interpreter and of numpy that all code of a process shares."""

from __future__ import annotations

import gc
import locale
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

from irm_sweeps.process_state.setting import ProcessSetting, attribute


def of_python() -> Iterator[ProcessSetting]:
    """Yield the settings that a trial's code may meet."""
    yield ProcessSetting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable(), True)
    yield ProcessSetting("thresholds of garbage collection", gc.get_threshold, lambda values: gc.set_threshold(*values))
    yield ProcessSetting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)
    yield ProcessSetting("switch interval", sys.getswitchinterval, sys.setswitchinterval)
    yield ProcessSetting("digits of integers", sys.get_int_max_str_digits, sys.set_int_max_str_digits)
    yield ProcessSetting("tracing function", lambda: (sys.gettrace(),), lambda one: sys.settrace(one[0]))
    yield ProcessSetting("profiling function", lambda: (sys.getprofile(),), lambda one: sys.setprofile(one[0]))
    yield ProcessSetting("warnings", lambda: list(warnings.filters), _put_filters)
    yield attribute(warnings, "showwarning")
    yield from map(_order, ("path", "meta_path", "path_hooks"))
    yield ProcessSetting("locale", partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL))
    yield from _of_numpy()


def _put_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()  # which also makes Python forget what it has decided by the former filters
    warnings.filters.extend(filters)  # type: ignore[attr-defined]


def _order(name: str) -> ProcessSetting:
    """Return the order of a list in `sys` of what is asked for a module.

    What was added goes to the end, where libraries that added it still find it.
    """

    def put(before: list[Any]) -> None:
        now = getattr(sys, name)
        now[:] = [*before, *(added for added in now if added not in before)]

    return ProcessSetting(f"sys.{name}", lambda: list(getattr(sys, name)), put)


def _of_numpy() -> Iterator[ProcessSetting]:
    import numpy as np

    new = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    yield ProcessSetting("numpy's errors", np.geterr, lambda kinds: np.seterr(**kinds), new)
    yield ProcessSetting(
        "numpy's error handler", lambda: (np.geterrcall(),), lambda one: np.seterrcall(one[0]), (None,)
    )
    yield ProcessSetting("numpy's buffer", np.getbufsize, np.setbufsize)
