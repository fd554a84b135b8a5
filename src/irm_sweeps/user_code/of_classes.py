"""The code that a user's own class depends on: its module, those of its bases, and the user's modules they import."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from weakref import WeakKeyDictionary

from irm_sweeps.config import Component
from irm_sweeps.user_code import modules as user_modules
from irm_sweeps.user_code.syntax_digest import syntax_digest
from irm_sweeps.user_code.typed import is_typed, typed_code


@dataclass(frozen=True)
class UserModule:
    """One module of the user's.

    Attributes
    ----------
    path
        Its source file.
    source
        What that file held when the module was imported.
    """

    name: str
    path: Path
    source: bytes

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a package."""
        return self.path.stem == "__init__"

    @cached_property
    def digest(self) -> str:
        """The sha256 of its syntax tree without comments, docstrings and positions."""
        return syntax_digest(self.source)

    @cached_property
    def file_sha256(self) -> str:
        """The sha256 of its source, byte by byte."""
        return hashlib.sha256(self.source).hexdigest()


def user_modules_of(classes: Iterable[type]) -> dict[str, UserModule]:
    """Return the modules that the code of classes depends on, by name; none for classes of this package.

    These are the modules of the classes and of their bases outside this package, and, one after another, every module
    of the user's that these import, at their top or inside functions, with the packages that it lies in. Installed
    modules (site-packages) and the standard library are none of the user's, but for the class itself: where that was
    installed, the modules of its own top-level package count. Of a class in a notebook or in the script that was
    started, it is the modules that its code uses.
    """
    found: dict[str, UserModule] = {}
    for chosen in classes:
        found.update(_modules_of(chosen))
    return dict(sorted(found.items()))


_KNOWN: WeakKeyDictionary[type, dict[str, UserModule]] = WeakKeyDictionary()


def _modules_of(chosen: type) -> dict[str, UserModule]:
    """Return the modules of one class, found once as long as all of them are imported and none is reloaded."""
    known = _KNOWN.get(chosen)
    if known is None or any(user_modules.source(name) is not module.source for name, module in known.items()):
        known = _KNOWN[chosen] = _find_modules_of(chosen)
    return known


def _find_modules_of(chosen: type) -> dict[str, UserModule]:
    found: dict[str, UserModule] = {}
    waiting = sorted({base.__module__ for base in _own_bases(chosen) if not is_typed(base.__module__)})
    tops = {name.partition(".")[0] for name in waiting}
    waiting += [module for typed in _typed([chosen]) for module in typed_code(typed).modules]
    while waiting:
        for name in _with_packages(waiting.pop()):
            if name not in found and (module := _load(name, tops)) is not None:
                found[name] = module
                waiting += _imported(module)
    return found


def code_of(classes: Sequence[type]) -> dict[str, str]:
    """Return the sha256 of each part of the code of classes, by name: of modules, and of what lies in no module's file.

    Of what cannot be read the digest is empty, so that only its name counts.
    """
    digests = {name: module.digest for name, module in user_modules_of(classes).items()}
    for typed in _typed(classes):
        for name, source in typed_code(typed).pieces.items():
            digests[name] = "" if source is None else syntax_digest(source)
    return digests


def _typed(classes: Iterable[type]) -> list[type]:
    bases = [base for chosen in classes for base in _own_bases(chosen)]
    return [base for base in dict.fromkeys(bases) if is_typed(base.__module__)]


def _own_bases(chosen: type) -> Iterator[type]:
    """Yield a class and its bases whose code is the user's: components outside this package, and classes of theirs."""
    if user_modules.is_package_module(chosen.__module__):
        return
    for base in chosen.__mro__:
        is_own = issubclass(base, Component) or user_modules.is_user_module(base.__module__)
        if is_own and not user_modules.is_package_module(base.__module__):
            yield base


def _with_packages(name: str) -> list[str]:
    """Return a module's name after those of the packages that it lies in, which are imported before it."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _load(name: str, tops: set[str]) -> UserModule | None:
    """Return a module of the user's with its source; None for others, and where there is no such module or file."""
    top = name.partition(".")[0]
    if user_modules.is_package_module(name) or (top in sys.stdlib_module_names and top not in tops):
        return None
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None) if module is not None else _origin(name)
    if not isinstance(path, str) or not (top in tops or user_modules.is_user_file(path)):
        return None
    source = user_modules.source(name) if module is not None else user_modules.read_source(path)
    return None if source is None else UserModule(name, Path(path), source)


def _origin(name: str) -> str | None:
    """Return the file of a module that nothing has imported yet, and import nothing."""
    spec: ModuleSpec | None = None
    for part in _with_packages(name):
        folders = None if "." not in part else _search_locations(part.rpartition(".")[0], spec)
        if folders is None and "." in part:
            return None
        spec = _find(part, folders)
    return spec.origin if spec is not None and spec.has_location else None


def _search_locations(package: str, spec: ModuleSpec | None) -> list[str] | None:
    """Return the folders that a package's modules lie in; None if it is no package."""
    if package in sys.modules:
        folders = getattr(sys.modules[package], "__path__", None)
    else:
        folders = spec.submodule_search_locations if spec is not None else None
    return None if folders is None else list(folders)


def _find(name: str, folders: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        with suppress(Exception):  # another package's finder
            if (spec := finder.find_spec(name, folders)) is not None:
                return spec
    return None


def _imported(module: UserModule) -> Iterator[str]:
    """Yield the names that a module's import statements may mean a module by."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for level, name, attributes in _import_statements(module.source):
        with suppress(ImportError):  # beyond the top-level package
            base = importlib.util.resolve_name("." * level + name, package) if level else name
            yield base
            yield from (f"{base}.{attribute}" for attribute in attributes)


@lru_cache(maxsize=1024)
def _import_statements(source: bytes) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """Return level, module and imported names of each import statement of a source, also of those in functions."""
    statements: list[tuple[int, str, tuple[str, ...]]] = []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            statements += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names if alias.name != "*")
            statements.append((node.level, node.module or "", names))
    return tuple(statements)
