"""The user's own modules: which imported modules are the user's, and what each file held when it was imported."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, all_suffixes
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import did_you_mean, one_line

_SOURCES: WeakKeyDictionary[ModuleType, tuple[ModuleSpec | None, bytes | None]] = WeakKeyDictionary()
"""What the file of a module held, with the spec that it was imported by: a reload gives it another."""
_KEPT: dict[str, bytes] = {}
"""By the path of the file, source from which its module is imported in this process in place of the file."""
_INSTALLED_PARTS = {"site-packages", "dist-packages"}
_PACKAGE = __name__.partition(".")[0]


def is_package_module(name: str) -> bool:
    """Return whether a module, or the module of a `_target_`, is this package's: importing it runs no other code."""
    return name.partition(".")[0] == _PACKAGE


def foreign_targets(config: Mapping[str, Any]) -> list[str]:
    """Return the classes that a trial's config names and that are not this package's."""
    targets = [config[group]["_target_"] for group in COMPONENTS]
    return [target for target in targets if not is_package_module(target)]


def remember() -> None:
    """Store what the file of each of the user's modules holds, if it has not been stored: call it after an import.

    So a later edit of a file, which is not what runs, does not count. Installed modules (site-packages) and the
    standard library are left out.
    """
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and _is_user_file(name, module):
            _source_of(module)


def source(name: str) -> bytes | None:
    """Return what an imported module's file held when it was imported; None where it has no file."""
    module = sys.modules.get(name)
    return _source_of(module) if isinstance(module, ModuleType) else None


def digest(name: str) -> str | None:
    """Return the sha256 of a module's file as it was imported; None where it has no file."""
    held = source(name)
    return None if held is None else hashlib.sha256(held).hexdigest()


def keep_source(path: str, source: bytes) -> None:
    """Let `read_source` return this for a file, whatever it holds: its module is imported from kept source."""
    _KEPT[path] = source


def read_source(path: str) -> bytes | None:
    """Return what a file holds now, or the source that is kept of it; None where it cannot be read."""
    if path in _KEPT:
        return _KEPT[path]
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _source_of(module: ModuleType) -> bytes | None:
    spec = getattr(module, "__spec__", None)
    if module not in _SOURCES or _SOURCES[module][0] is not spec:
        path = getattr(module, "__file__", None)
        _SOURCES[module] = spec, read_source(path) if isinstance(path, str) else None
    return _SOURCES[module][1]


def is_user_module(name: str) -> bool:
    """Return whether an imported module is neither this package's nor installed nor the standard library's."""
    module = sys.modules.get(name)
    return isinstance(module, ModuleType) and _is_user_file(name, module)


def is_user_file(path: str) -> bool:
    """Return whether a source file is neither this package's nor installed nor the standard library's."""
    return not path.startswith(("<", *_installed())) and not _INSTALLED_PARTS.intersection(Path(path).parts)


def _is_user_file(name: str, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or is_package_module(name) or name.partition(".")[0] in sys.stdlib_module_names:
        return False
    return is_user_file(file)


def where(module: str, name: str) -> str:
    """Return where a class was looked for that could not be imported, to be put behind the error; may be empty.

    That is the module's file, or for a module that is not there the folders of the user's that modules are looked for.
    """
    if not module:
        return f": write the module that it lies in too, e.g. my_file.{name} for my_file.py"
    if is_package_module(module):
        return ""
    top = module.partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        folders = [folder or os.getcwd() for folder in sys.path if _is_users(folder or os.getcwd())]
        listed = ", ".join(dict.fromkeys(folders)) or "no folder besides the installed packages"
        places = f"{one_line(listed)} (the working directory and PYTHONPATH) and among installed packages"
        return f"; {top:.80} was looked for in {places}{_near_module(module, folders)}"
    imported = sys.modules.get(module)
    file = getattr(imported, "__file__", None) or found.origin or ", ".join(found.submodule_search_locations or [])
    if isinstance(imported, ModuleType):
        classes = [key for key, value in vars(imported).items() if isinstance(value, type)]
        return f" ({file}){did_you_mean(name, classes)}"
    near = _near_module(module, [os.path.dirname(folder) for folder in found.submodule_search_locations or []])
    return f" ({file}){near}" if file else ""


def _near_module(module: str, folders: Sequence[str]) -> str:
    """Return `` (did you mean `x`?)`` for the first part of a dotted path that is not below any of some folders."""
    for part in module.split("."):
        names = {name for folder in folders for name in _modules_in(folder)}
        if part not in names:
            return did_you_mean(part, names)
        folders = [os.path.join(folder, part) for folder in folders]
    return ""


def _modules_in(folder: str) -> set[str]:
    """Return the names of a folder's modules and folders; none if it cannot be read."""
    try:
        found = [path for path in Path(folder).iterdir() if path.name.endswith(tuple(all_suffixes())) or path.is_dir()]
    except OSError:
        return set()
    return {name for path in found if (name := path.name.partition(".")[0]).isidentifier()}


def _is_users(folder: str) -> bool:
    return not f"{folder}/".startswith(_installed()) and not folder.endswith(".zip")


@cache
def _installed() -> tuple[str, ...]:
    """Return the folders of installed modules and of this package."""
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
    return tuple(f"{folder}/" for folder in dict.fromkeys(folders))
