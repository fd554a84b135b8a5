"""The code of a class that no module's file holds: typed into a notebook, or written in the script that was started."""

from __future__ import annotations

import ast
import linecache
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

from irm_sweeps.user_code import modules as user_modules

_Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_PLAIN = (bool, int, float, complex, str, bytes, tuple, frozenset, type(None))


@dataclass(frozen=True)
class TypedCode:
    """What the code of such a class consists of.

    Attributes
    ----------
    pieces
        The source of the class, and of the classes, functions and plain values beside it that it uses, by name; None
        where it cannot be read.
    modules
        The modules that it uses.
    """

    pieces: dict[str, bytes | None] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)


def is_typed(module: str) -> bool:
    """Return whether the classes of a module are to be looked at one by one: it has no file, or is the script."""
    return module == "__main__" or not isinstance(getattr(sys.modules.get(module), "__file__", None), str)


def typed_code(chosen: type) -> TypedCode:
    """Return the code of a class, and of what it uses of the module that it was typed into."""
    code = TypedCode()
    waiting: list[tuple[str, Any]] = [(chosen.__qualname__, chosen)]
    while waiting:
        name, used = waiting.pop()
        if (place := f"{chosen.__module__}.{name}") in code.pieces:
            continue
        if isinstance(used, _PLAIN):
            code.pieces[place] = f"{name} = {used!r}".encode()
            continue
        code.pieces[place], names = _definition(_source(used), used.__qualname__)
        for other in names:
            value = vars(sys.modules[chosen.__module__]).get(other)
            if isinstance(value, ModuleType):
                code.modules.add(value.__name__)
            elif isinstance(value, type | FunctionType) and value.__module__ != chosen.__module__:
                code.modules.add(value.__module__)
            elif isinstance(value, (type, FunctionType, *_PLAIN)) and value is not None:
                waiting.append((getattr(value, "__qualname__", other), value))
    return code


def _source(defined: Any) -> bytes | str:
    """Return the source of the module, or of the notebook's cell, in which a class or function was typed."""
    source = user_modules.source(defined.__module__)
    return _cell(defined) if source is None else source


@lru_cache(maxsize=1024)  # thousands of trials have the same classes
def _definition(source: bytes | str, qualname: str) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the text of a class or function in a source, and the names in it; None and none where it is not there."""
    try:
        found: ast.AST = ast.parse(source)
    except (SyntaxError, ValueError):
        return None, ()
    for name in qualname.split("."):
        inner = [node for node in ast.walk(found) if isinstance(node, _Named) and node.name == name]
        if not inner:
            return None, ()
        found = inner[-1]
    return ast.unparse(found).encode(), tuple(node.id for node in ast.walk(found) if isinstance(node, ast.Name))


def _cell(defined: Any) -> str:
    """Return the text of the notebook's cell that a class or function was typed into; empty where it is not kept."""
    held = [defined] if isinstance(defined, FunctionType) else vars(defined).values()
    functions = [getattr(value, "__func__", getattr(value, "fget", value)) for value in held]
    own = [f for f in functions if isinstance(f, FunctionType) and f.__module__ == defined.__module__]
    files = {function.__code__.co_filename for function in own}
    return "".join(line for file in sorted(files) for line in linecache.getlines(file))
