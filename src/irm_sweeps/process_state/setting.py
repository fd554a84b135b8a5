"""One setting that all code of a process shares: how it is read and set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

Put = Callable[[Any], Any]


@dataclass(frozen=True)
class ProcessSetting:
    """One setting, with the functions that read and set it.

    Attributes
    ----------
    new
        Its value in a new process; None where the machine or the user chooses it.
    compares
        Whether it is read before it is set, and left alone where it has the value already.
    """

    name: str
    get: Callable[[], Any]
    put: Put
    new: Any = None
    compares: bool = True

    def become(self, value: Any) -> None:
        """Set a value, unless the value is None or the setting has it already."""
        if value is not None and (not self.compares or self.get() != value):
            self.put(value)


@contextmanager
def restored(settings: Iterable[ProcessSetting]) -> Iterator[None]:
    """Set these settings back to their present values at the end of the block, in this order."""
    before = [(setting, setting.get()) for setting in settings]
    try:
        yield
    finally:
        for setting, value in before:
            if value is not None:
                setting.put(value)


def optional_attribute(owner: Any, name: str, new: Any = None) -> Iterator[ProcessSetting]:
    """Yield a setting that is an attribute, if this version of torch has it."""
    if hasattr(owner, name):
        yield attribute(owner, name, new)


def attribute(owner: Any, name: str, new: Any = None) -> ProcessSetting:
    """Return a setting that is an attribute of a module or an object of torch."""
    return ProcessSetting(f"{owner}.{name}", lambda: getattr(owner, name), partial(setattr, owner, name), new)
