"""Which functions of torch, numpy, Python and this package have been replaced by others.

Code that replaces one (`torch.nn.functional.relu = mine`) changes what every trial computes that runs after it in the
same process. To put the function back would not do: modules that have imported it meanwhile keep the other one.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

PACKAGES = ("torch", "numpy", "irm_sweeps")
"""Packages whose modules are looked at, if they have been imported."""
STANDARD = ("builtins", "functools", "hashlib", "io", "itertools", "json", "math", "operator", "os", "random", "time")
"""Modules of Python that are looked at."""
OVERRIDING = ("/CPU", "/CUDA", "/AutogradCPU", "/AutogradCUDA", "/Autograd", "/CompositeImplicitAutograd")
"""Endings of the keys under which `torch.library` notes that an operation got another kernel."""
_WRITTEN_BY_PYTHON = frozenset({"__doc__", "__annotations__", "__signature__", "__weakref__", "__dict__", "__hash__"})

_by_import: dict[str, frozenset[str]] = {}


class Functions:
    """The functions and classes, with their methods, that the modules in `PACKAGES` and `STANDARD` have now.

    Takes about 40 ms, as `replaced` does. Numbers and tables that modules keep are left out, as most are caches.
    """

    def __init__(self) -> None:
        self._modules = {name: module for name, module in sys.modules.items() if _is_watched(name, module)}
        self._owners: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
        classes: set[type] = set()
        for name, module in self._modules.items():
            own = {attribute: value for attribute, value in vars(module).items() if callable(value)}
            self._owners[name] = (module, own, _codes(own))
            classes.update(value for value in own.values() if isinstance(value, type))
        for owner in filter(_is_watched_class, classes):
            methods = dict(vars(owner))
            self._owners[f"{owner.__module__}.{owner.__qualname__}"] = (owner, methods, _codes(methods))
        self._known = {id(value) for _, own, _ in self._owners.values() for value in own.values()}
        self._kernels = _kernels()

    def replaced(self) -> frozenset[str]:
        """Return the full names of those that are others by now, e.g. `torch.nn.functional.relu`."""
        return frozenset(self._replaced())

    def _replaced(self) -> Iterator[str]:
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                yield name
        for name, (owner, own, codes) in self._owners.items():
            yield from (f"{name}.{attribute}" for attribute in self._differences(owner, own, codes))
        yield from _kernels() - self._kernels

    def _differences(self, owner: Any, own: Mapping[str, Any], codes: Mapping[str, Any]) -> Iterator[str]:
        """Yield the attributes that are others than they were, or hide one that was found elsewhere."""
        now = vars(owner)
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
        yield from (attribute for attribute, code in codes.items() if own[attribute].__code__ is not code)
        if len(now) == len(own):
            return
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
        return inner is value or hidden or id(inner) not in self._known


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
    return str(getattr(value, "__module__", "")).partition(".")[0] in PACKAGES


def _codes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each Python function runs, which can be exchanged too."""
    return {name: value.__code__ for name, value in values.items() if type(value) is FunctionType}


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
