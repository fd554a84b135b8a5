"""Whether a worker runs the same code of this package as the launch whose trials it trains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Annotated

from pydantic import StringConstraints

from irm_sweeps.provenance import package_sources
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
    """

    version: str
    files: dict[str, Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{12}\z")]]

    def difference(self) -> str | None:
        """Return what differs in the package that this process runs; None where nothing does."""
        here = package_code()
        paths = {**self.files, **here.files}
        changed = sorted(path for path in paths if self.files.get(path) != here.files.get(path))
        if not changed and self.version == here.version:
            return None
        versions = f"version {here.version} in place of {self.version}" if self.version != here.version else ""
        return ", ".join(filter(None, [versions, _named(changed)]))


@cache
def package_code() -> PackageCode:
    """Return the code of this package, as it lay there when this process first asked."""
    files = {path: hashlib.sha256(source).hexdigest()[:12] for path, source in package_sources().items()}
    return PackageCode(version=version("irm-sweeps"), files=files)


def _named(paths: Sequence[str]) -> str:
    more = [f"{len(paths) - _NAMED} more"] if len(paths) > _NAMED else []
    *first, last = [*paths[:_NAMED], *more] or [""]
    return f"{', '.join(first)} and {last}" if first else last
