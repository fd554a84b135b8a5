"""Digests of source code that only an edit of what it does changes: no comment, no docstring, no formatting."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_COSMETIC = {"kind", "type_comment", "type_ignores"}
"""Fields of syntax nodes that say how something was written."""


@lru_cache(maxsize=4096)
def syntax_digest(source: bytes) -> str:
    """Return the sha256 of a source's syntax tree without comments, docstrings and positions.

    What is no Python source, as a compiled extension, counts byte by byte.
    """
    parts: list[str] = []
    try:
        _dump(ast.parse(source), parts)
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(source).hexdigest()
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def digest_of_all(digests: Mapping[str, str]) -> str:
    """Return the sha256 of several modules' names and digests, in whatever order they come."""
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _dump(value: Any, parts: list[str]) -> None:
    """Add a node's text, which is the same in all versions of Python: fields that hold nothing are left out."""
    if isinstance(value, ast.AST):
        parts.append(f"{type(value).__name__}(")
        for name in value._fields:
            held = getattr(value, name, None)
            if held is not None and held != [] and name not in _COSMETIC:
                parts.append(f"{name}=")
                _dump(held, parts)
        parts.append(")")
    elif isinstance(value, list):
        parts.append("[")
        for one in value:
            if not _has_no_effect(one):
                _dump(one, parts)
        parts.append("]")
    else:
        parts.append(f"{value!r},")


def _has_no_effect(statement: Any) -> bool:
    """Return whether a statement is `pass` or a constant alone, as a docstring is."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)
