"""The code of a sweep: a copy of the user's own modules beside the manifest, `sweeps/SWEEP/code/DIGEST/`.

The folder is named by what it holds, so a launch that brings other code never changes what workers of an earlier one
are reading.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, StringConstraints

from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files.atomic import make_folder, refuse_link, write_atomically
from irm_sweeps.files.reading import read_fresh
from irm_sweeps.files.untrusted import MIB, read_regular
from irm_sweeps.provenance import note_own_git_state, own_git_state
from irm_sweeps.store.result import GitState
from irm_sweeps.store.schema import Part
from irm_sweeps.user_code.kept_source import KeptSource, import_from
from irm_sweeps.user_code.of_classes import UserModule
from irm_sweeps.user_code.syntax_digest import digest_of_all

LARGEST = 256 * MIB
"""Most bytes of a module, which may be a compiled extension."""
EARLIER_KEPT = 8
"""So many copies of earlier launches stay: a worker that has read an earlier manifest may be about to read them."""

_Name = Annotated[str, StringConstraints(pattern=r"\A[^\W\d]\w*(\.[^\W\d]\w*)*\z")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]


class CopiedModule(Part):
    """A module of which the sweep has a copy.

    Attributes
    ----------
    file
        The file of the user's that it was imported from.
    sha256
        Of the copy.
    """

    file: Annotated[str, StringConstraints(pattern=r"\A/[^\x00]*\z")]
    sha256: _Sha256


class SweepCode(Part):
    """What a manifest records of the user's own code.

    Attributes
    ----------
    modules
        The modules that the sweep's classes depend on, by name.
    git
        The commit of the checkout in which they lie; None where they lie in none.
    """

    modules: dict[_Name, CopiedModule] = Field(default_factory=dict)
    git: GitState | None = None

    @property
    def folder(self) -> PurePosixPath:
        """Where the copies lie, from the sweep's own folder."""
        digest = digest_of_all({name: module.sha256 for name, module in self.modules.items()})
        return PurePosixPath("code") / digest[:16]

    def path(self, name: str) -> PurePosixPath:
        """Return where a module's copy lies, from the sweep's own folder: as Python looks for the module's name."""
        file = Path(self.modules[name].file)
        stem, _, suffix = file.name.partition(".")
        *packages, last = name.split(".")
        inside = [*packages, last, f"{stem}.{suffix}"] if stem == "__init__" else [*packages, f"{last}.{suffix}"]
        return self.folder.joinpath(*inside)

    def changed(self) -> list[str]:
        """Return the modules whose files here do not hold what was copied."""
        return [name for name, module in self.modules.items() if _sha256(Path(module.file)) != module.sha256]


def _sha256(file: Path) -> str | None:
    try:
        return hashlib.sha256(read_regular(file, LARGEST, follow=True)).hexdigest()
    except OSError:
        return None


def write_code(sweep: Path, modules: Mapping[str, UserModule]) -> SweepCode:
    """Copy modules, as they were imported, into a sweep's folder.

    Raises
    ------
    StoreError
        They cannot be written.
    UserError
        One is too large.
    """
    git = own_git_state(modules)
    code = SweepCode(
        modules={
            name: CopiedModule(file=str(module.path.absolute()), sha256=module.file_sha256)
            for name, module in modules.items()
        },
        git=None if git is None else GitState(**git),
    )
    for name, module in modules.items():
        if len(module.source) > LARGEST:
            raise UserError(f"{module.path} has {len(module.source):,} bytes: a module has at most {LARGEST:,}")
        path = code.path(name)
        _make_folders(sweep, path.parent)
        if not _holds(sweep / path, module.source):
            write_atomically(sweep / path, module.source)
    if modules:
        _remove_oldest(sweep / code.folder)
    return code


def _remove_oldest(newest: Path) -> None:
    """Remove the copies of the launches before the last few, so that a sweep issued after each edit does not grow."""
    with suppress(OSError):  # another launch removes them too
        copies = [
            path for path in newest.parent.iterdir() if path.is_dir() and not path.is_symlink() and path != newest
        ]
        for path in sorted(copies, key=lambda path: path.stat().st_mtime_ns)[:-EARLIER_KEPT]:
            shutil.rmtree(path, ignore_errors=True)


def import_code(sweep: Path, code: SweepCode) -> None:
    """Let this process import the modules of which a sweep has copies from these.

    Raises
    ------
    UserError
        A copy is missing or is not what was written.
    """
    import_from({name: _read(sweep, code, name) for name in code.modules})
    if code.git is not None:
        note_own_git_state(code.modules, code.git.recorded())


def _read(sweep: Path, code: SweepCode, name: str) -> KeptSource:
    path, module = code.path(name), code.modules[name]
    try:
        for folder in _below(path.parent):
            refuse_link(sweep / folder)
        source = read_fresh(sweep / path, LARGEST)
    except FileNotFoundError:
        problem = "is missing"
    except (OSError, StoreError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    else:
        if hashlib.sha256(source).hexdigest() == module.sha256:
            return KeptSource(Path(module.file), sweep / path, source)
        problem = "is not what was submitted"
    raise UserError(f"the sweep's copy of {name}, {sweep / path}, {problem}: issue the sweep's command again")


def _make_folders(sweep: Path, folder: PurePosixPath) -> None:
    for part in _below(folder):
        refuse_link(sweep / part)
        make_folder(sweep / part)


def _below(folder: PurePosixPath) -> list[PurePosixPath]:
    """Return the folders from the outermost to this one."""
    return [*reversed(folder.parents[:-1]), folder]


def _holds(path: Path, content: bytes) -> bool:
    try:
        return read_fresh(path, LARGEST) == content
    except OSError:
        return False
