"""Which functions of torch, numpy, Python and this package have been replaced by others.

Code that replaces one (`torch.nn.functional.relu = mine`) changes what every trial computes that runs after it in the
same process. To put the function back would not do: modules that have imported it meanwhile keep the other one.
"""

from __future__ import annotations

import builtins
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

PACKAGES = ("torch", "numpy", "irm_sweeps")
"""Packages whose modules are looked at, if they have been imported."""
STANDARD = ("builtins", "functools", "hashlib", "io", "itertools", "json", "math", "operator", "os", "random", "time")
"""Modules of Python that are looked at."""
OVERRIDING = ("/CPU", "/CUDA", "/AutogradCPU", "/AutogradCUDA", "/Autograd", "/CompositeImplicitAutograd")
"""Endings of the keys under which `torch.library` notes that an operation got another kernel."""
_WRITTEN_BY_PYTHON = frozenset({"__doc__", "__annotations__", "__signature__", "__weakref__", "__dict__", "__hash__"})

_CODE = operator.attrgetter("__code__")
_IMMUTABLE = 1 << 8
"""`Py_TPFLAGS_IMMUTABLETYPE`: Python refuses to set an attribute of the class. So are classes that are written in C."""

_by_import: dict[str, frozenset[str]] = {}


@dataclass(frozen=True, slots=True)
class _Owner:
    """A module or a class, and what it had: its attributes, and what the Python functions among these run.

    The code of a function can be exchanged, too.
    """

    owner: Any
    names: tuple[str, ...]
    values: tuple[Any, ...]
    functions: tuple[FunctionType, ...]
    codes: tuple[CodeType, ...]

    @classmethod
    def now(cls, owner: ModuleType | type) -> _Owner:
        """Return it with what it has now."""
        values = tuple(vars(owner).values())
        functions = tuple(value for value in values if type(value) is FunctionType)
        return cls(owner, tuple(vars(owner)), values, functions, tuple(map(_CODE, functions)))

    def watched(self) -> dict[str, Any]:
        """Return the attributes that are looked at: of a module what can be called, of a class all."""
        attributes = zip(self.names, self.values, strict=True)
        return {name: value for name, value in attributes if isinstance(self.owner, type) or callable(value)}

    def is_as_it_was(self) -> bool:
        """Return whether nothing at all has changed. No line of Python runs for an attribute: there are 64,000."""
        now = vars(self.owner)
        return (
            len(now) == len(self.names)
            and all(map(operator.is_, now.values(), self.values))
            and tuple(now) == self.names
            and all(map(operator.is_, map(_CODE, self.functions), self.codes))
        )


class Functions:
    """The functions and classes, with their methods, that the modules in `PACKAGES` and `STANDARD` have now.

    Takes about 50 ms, and `replaced` 15. Numbers and tables that modules keep are left out, as most are caches. So are
    classes whose attributes Python lets nobody set.
    """

    def __init__(self) -> None:
        self._owners: dict[str, _Owner] = {}
        self._modules: dict[str, ModuleType] = {}
        self._look([])

    def _look(self, changed: Iterable[str]) -> None:
        """Note what the modules have now: those that are new, and of the modules and classes known those that changed.

        Parameters
        ----------
        changed
            The names of these.
        """
        self._known: set[int] = set()
        earlier, self._modules = (
            self._modules,
            {n: module for n, module in sys.modules.items() if _is_watched(n, module)},
        )
        for name in changed:
            self._owners[name] = _Owner.now(self._owners[name].owner)
        new = {name for name, module in self._modules.items() if earlier.get(name) is not module}
        self._owners |= {name: _Owner.now(self._modules[name]) for name in new}
        self._kernels = _kernels()
        classes: set[type] = set()
        for name in self._modules.keys() & new.union(changed):
            classes.update(value for value in self._owners[name].watched().values() if isinstance(value, type))
        for owner in filter(_is_watched_class, classes):
            self._owners[f"{owner.__module__}.{owner.__qualname__}"] = _Owner.now(owner)

    def replaced(self) -> frozenset[str]:
        """Return the full names of those that are others than at the last call, e.g. `torch.nn.functional.relu`.

        The first call tells what has changed since this was made.
        """
        changed = [name for name, owner in self._owners.items() if not owner.is_as_it_was()]
        names = frozenset(self._replaced(changed))
        self._look(changed)
        return names

    def _replaced(self, changed: Iterable[str]) -> Iterator[str]:
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                yield name
        for name in changed:
            yield from (f"{name}.{attribute}" for attribute in self._differences(self._owners[name]))
        yield from _kernels() - self._kernels

    def _differences(self, of: _Owner) -> Iterator[str]:
        """Yield the attributes that are others than they were, or hide one that was found elsewhere."""
        owner, own, now = of.owner, of.watched(), vars(of.owner)
        for attribute, value in own.items():
            other = now.get(attribute)
            if other is not value:
                if (
                    attribute in _WRITTEN_BY_PYTHON
                    or _is_data(owner, value)
                    or self._is_by_torch(attribute, other, value)
                ):
                    continue
                yield attribute
        exchanged = {f for f, code in zip(of.functions, of.codes, strict=True) if f.__code__ is not code}
        yield from (attribute for attribute, value in own.items() if type(value) is FunctionType and value in exchanged)
        for attribute in now.keys() - own.keys() - _WRITTEN_BY_PYTHON:
            if (
                callable(now[attribute])
                and _hides(owner, attribute)
                and not self._is_by_torch(attribute, now[attribute], None)
            ):
                yield attribute

    def _is_by_torch(self, attribute: str, other: Any, value: Any) -> bool:
        """Return whether torch itself has put `other` there, a new function of its own: its modules do so."""
        inner = other
        while wrapped := getattr(inner, "__wrapped__", None) or getattr(inner, "_torchdynamo_orig_callable", None):
            inner = wrapped
        inner = getattr(inner, "fget", None) or getattr(inner, "__func__", inner)
        code = getattr(inner, "__code__", None)
        if code is None or not code.co_filename.startswith(_folder_of_torch()):
            return False
        hidden = value is None and getattr(inner, "__name__", "") == attribute
        return inner is value or hidden or not self._was_known(inner)

    def _was_known(self, function: object) -> bool:
        """Return whether something was one of these functions and classes before, wherever."""
        if not self._known:
            self._known = {id(value) for owner in self._owners.values() for value in owner.watched().values()}
        return id(function) in self._known


def record_import(module: str, names: frozenset[str]) -> None:
    """Store what the first import of a user's module has changed for good in this process."""
    if names:
        _by_import[module] = _by_import.get(module, frozenset()) | names


def changes_by_import() -> Mapping[str, frozenset[str]]:
    """Return what imports have changed for good in this process, by the name of the user's module."""
    return dict(_by_import)


def _is_watched(name: str, module: object) -> bool:
    package = name.partition(".")[0]
    return isinstance(module, ModuleType) and (package in PACKAGES or name in STANDARD) and "_dist" not in name[6:15]


def _is_watched_class(value: type) -> bool:
    package = str(getattr(value, "__module__", "")).partition(".")[0]
    return package in PACKAGES and not value.__flags__ & _IMMUTABLE


def _is_data(owner: Any, value: Any) -> bool:
    """Return whether an attribute of a class is no function, property or the like: classes keep counters and caches."""
    return isinstance(owner, type) and not callable(value) and not hasattr(value, "__get__")


def _hides(owner: Any, attribute: str) -> bool:
    """Return whether a new attribute comes before a builtin, or before one that a class inherits."""
    if isinstance(owner, type):
        return not attribute.startswith("_abc_") and any(attribute in vars(base) for base in owner.__mro__[1:])
    return owner is not builtins and hasattr(builtins, attribute) and not attribute.startswith("__")


@cache
def _folder_of_torch() -> str:
    import torch

    return f"{Path(torch.__file__).parent}/"


def _kernels() -> frozenset[str]:
    """Return the kernels of torch's own operations that Python code has registered."""
    registered: Any = getattr(sys.modules.get("torch.library"), "_impls", ())
    return frozenset(key for key in registered if key.startswith("aten/") and key.endswith(OVERRIDING))
