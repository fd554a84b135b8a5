"""The code of a class that no module's file holds: typed into a notebook, or written in the script that was started."""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from irm_sweeps import user_modules

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
        definition = _definition(used)
        code.pieces[place] = None if definition is None else ast.unparse(definition).encode()
        for other in _names(definition):
            value = vars(sys.modules[chosen.__module__]).get(other)
            if isinstance(value, ModuleType):
                code.modules.add(value.__name__)
            elif isinstance(value, type | FunctionType) and value.__module__ != chosen.__module__:
                code.modules.add(value.__module__)
            elif isinstance(value, (type, FunctionType, *_PLAIN)) and value is not None:
                waiting.append((getattr(value, "__qualname__", other), value))
    return code


def _names(definition: ast.AST | None) -> Iterator[str]:
    for node in ast.walk(definition) if definition is not None else ():
        if isinstance(node, ast.Name):
            yield node.id


def _definition(defined: Any) -> ast.AST | None:
    """Return the syntax tree of a class or function; None where its source cannot be read."""
    source = user_modules.source(defined.__module__)
    try:
        found: ast.AST | None = ast.parse(source if source is not None else _cell(defined))
    except (SyntaxError, ValueError):
        return None
    for name in defined.__qualname__.split("."):
        inner = [node for node in ast.walk(found) if isinstance(node, _Named) and node.name == name] if found else []
        found = inner[-1] if inner else None
    return found


def _cell(defined: Any) -> str:
    """Return the text of the notebook's cell that a class or function was typed into; empty where it is not kept."""
    held = [defined] if isinstance(defined, FunctionType) else vars(defined).values()
    functions = [getattr(value, "__func__", getattr(value, "fget", value)) for value in held]
    own = [f for f in functions if isinstance(f, FunctionType) and f.__module__ == defined.__module__]
    files = {function.__code__.co_filename for function in own}
    return "".join(line for file in sorted(files) for line in linecache.getlines(file))
