"""Whether a worker runs the same code of this package as the launch whose trials it trains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Annotated

from pydantic import StringConstraints

from irm_sweeps.provenance import note_package_sha256, package_sha256, package_sources
from irm_sweeps.store.schema import Part

_NAMED = 2
"""So many files are named where more have changed."""


class PackageCode(Part):
    """What a manifest records of this package.

    Attributes
    ----------
    version
        The installed version.
    files
        The first 12 hexadecimal digits of the sha256 of each of its modules, by its path in the package.
    sha256
        `provenance.package_sha256`, which comments and formatting do not change; None in manifests of earlier
        versions, of which every byte of `files` counts.
    """

    version: str
    files: dict[str, Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{12}\z")]]
    sha256: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")] | None = None

    def difference(self) -> str | None:
        """Return what differs in the package that this process runs; None where nothing does.

        Modules are parsed, which takes half a second for all, only where their bytes differ.
        """
        here = _files()
        changed = sorted(path for path in {**self.files, **here} if self.files.get(path) != here.get(path))
        if not changed and self.sha256 is not None:
            note_package_sha256(self.sha256)
        if changed and self.sha256 == package_sha256():
            changed = []
        version = installed_version("irm-sweeps")
        versions = f"version {version} in place of {self.version}" if self.version != version else ""
        return ", ".join(filter(None, [versions, _named(changed)])) or None


def package_code() -> PackageCode:
    """Return the code of this package, as it lay there when this process first asked."""
    return PackageCode(version=installed_version("irm-sweeps"), files=_files(), sha256=package_sha256())


def _files() -> dict[str, str]:
    return {path: hashlib.sha256(source).hexdigest()[:12] for path, source in package_sources().items()}


def _named(paths: Sequence[str]) -> str:
    more = [f"{len(paths) - _NAMED} more"] if len(paths) > _NAMED else []
    *first, last = [*paths[:_NAMED], *more] or [""]
    return f"{', '.join(first)} and {last}" if first else last
