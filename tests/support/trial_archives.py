"""Archives of results, as `irm-sweeps pack` writes them and as somebody else might."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from irm_sweeps.store.archive import CONTENTS

REGULAR = 0o100644 << 16

Change = Callable[[zipfile.ZipInfo], None]


def contents(files: Mapping[str, bytes]) -> bytes:
    """Return a `contents.json` for these files."""
    return json.dumps(
        {"schema": 1, "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}}
    ).encode()


def write_zip(path: Path, files: Sequence[tuple[str, bytes]], change: Change = lambda info: None) -> Path:
    """Write a zip file entry by entry, each as `pack` would unless `change` makes it another."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.compress_type = 3, REGULAR, zipfile.ZIP_BZIP2
            change(info)
            archive.writestr(info, content)
    return path


def signed(files: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Return files with a `contents.json` that has the right sha256 of each."""
    return [*files.items(), (CONTENTS, contents(files))]


def files_of(store: Path) -> dict[str, bytes]:
    """Return what an archive of a store has, by name."""
    found = [path for pattern in ("*/history.jsonl", "*/result.json") for path in store.glob(pattern)]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(found)}
