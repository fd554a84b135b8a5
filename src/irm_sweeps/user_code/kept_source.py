"""Importing modules from a kept copy of their source, whatever has become of the files that they came from."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from irm_sweeps.user_code.modules import keep_source


@dataclass(frozen=True)
class KeptSource:
    """The source of a module when it was kept.

    Attributes
    ----------
    file
        The file that it came from. It stays the `__file__` of a module written in Python, so that data beside it is
        found.
    copy
        The file that holds the source now; tracebacks name it.
    source
        Its bytes.
    """

    file: Path
    copy: Path
    source: bytes

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a package."""
        return self.file.name.partition(".")[0] == "__init__"


class _Loader(SourceFileLoader):
    """Runs the kept source; all else, as a package's data files, is where the module's own file is."""

    def __init__(self, name: str, kept: KeptSource) -> None:
        super().__init__(name, str(kept.file))
        self._kept = kept

    def get_data(self, path: str) -> bytes:
        """Return the kept source for the module's own path."""
        return self._kept.source if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the kept source; a `.pyc` file, which may be of another source, is not read."""
        del fullname
        return compile(self._kept.source, str(self._kept.copy), "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds the modules of which the source is kept, and no others."""

    def __init__(self, modules: Mapping[str, KeptSource]) -> None:
        self._modules = modules
        self._folders = _namespace_folders(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module is loaded; None where its source is not kept."""
        del path, target
        if kept := self._modules.get(fullname):
            folder = [str(kept.file.parent)] if kept.is_package else None
            if kept.file.suffix != ".py":  # a compiled extension is loaded from a file, which is then its `__file__`
                return spec_from_file_location(fullname, kept.copy, submodule_search_locations=folder)
            loader = _Loader(fullname, kept)
            return spec_from_file_location(fullname, kept.file, loader=loader, submodule_search_locations=folder)
        if folders := self._folders.get(fullname):
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = list(folders)
            return spec
        return None


def _namespace_folders(modules: Mapping[str, KeptSource]) -> dict[str, list[str]]:
    """Return the folders of the packages without `__init__.py` in which modules lie, by the package's name."""
    folders: dict[str, list[str]] = {}
    for name, kept in modules.items():
        folder = kept.file.parent.parent if kept.is_package else kept.file.parent
        while name := name.rpartition(".")[0]:
            if name not in modules and str(folder) not in folders.setdefault(name, []):
                folders[name].append(str(folder))
            folder = folder.parent
    return folders


def import_from(modules: Mapping[str, KeptSource]) -> None:
    """Import these modules in this process from their kept source, before any of them has been imported."""
    for kept in modules.values():
        keep_source(str(kept.file), kept.source)
    sys.meta_path.insert(0, _Finder(modules))
