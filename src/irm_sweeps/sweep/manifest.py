"""A sweep's manifest: its trials, resolved once, and how they are stacked. Workers read nothing else."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.sweep.files import DamagedFile, make_folder, read_json, to_json, write_atomically
from irm_sweeps.sweep.store import Store

SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """One sweep.

    Attributes
    ----------
    name
        `<label>-<hash of the trial ids>`: the same trials are the same sweep.
    trials
        Canonical config by trial id, in the order of the grid.
    stacks
        Trial ids that train together, in the order in which to start.
    settings
        `data_dir`, `device`, `on_error`, `checkpoint_seconds`, `logger`: how to run, not what. `folders`: where the
        command was typed, and so where a user's own files are imported from; absent from manifests of earlier
        versions.
    launch
        Changes whenever the command is issued anew.
    """

    name: str
    trials: Mapping[str, Mapping[str, Any]]
    stacks: Sequence[Sequence[str]]
    settings: Mapping[str, Any]
    launch: str
    created: str
    command: str

    def make_importable(self) -> None:
        """Let this process import what the process that issued the command could import from its folder."""
        sys.path += [folder for folder in self.settings.get("folders", []) if folder not in sys.path]

    def stop_marker(self, store: Store) -> Path:
        """Return the file that, once there, ends this launch (`on_error=stop`)."""
        return self.folder(store) / f"stop.{self.launch}"

    def folder(self, store: Store) -> Path:
        """Return where the sweep's own files lie."""
        return store.root / "sweeps" / self.name


def sweep_name(label: str, ids: Sequence[str]) -> str:
    """Return the name of the sweep with these trials."""
    digest = hashlib.sha256("".join(sorted(ids)).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '_', label) or 'sweep'}-{digest}"


def write_manifest(
    store: Store,
    label: str,
    trials: Mapping[str, Mapping[str, Any]],
    stacks: Sequence[Sequence[str]],
    settings: Mapping[str, Any],
) -> Manifest:
    """Write the manifest of a new launch, over that of an earlier launch of the same trials."""
    now = datetime.now(UTC)
    manifest = Manifest(
        name=sweep_name(label, list(trials)),
        trials=trials,
        stacks=stacks,
        settings=settings,
        launch=now.strftime("%Y%m%dT%H%M%S.%f"),
        created=now.isoformat(timespec="seconds"),
        command=" ".join(sys.argv),
    )
    folder = manifest.folder(store)
    make_folder(folder)
    content = {"schema": SCHEMA, **manifest.__dict__}
    write_atomically(folder / "manifest.json", to_json(content, indent=None))
    return manifest


def read_manifest(store: Store, name: str) -> Manifest:
    """Read a sweep by its name or the beginning of it.

    Raises
    ------
    UserError
        There is no such sweep, several begin so, or its manifest is damaged.
    """
    names = sweep_names(store)
    matching = [name] if name in names else [n for n in names if n.startswith(name)]
    if len(matching) != 1:
        what = f"{len(matching)} sweeps begin so: {', '.join(matching[:5])}" if matching else "no such sweep"
        raise UserError(f"sweep {name!r}: {what}{did_you_mean(name, names)} in {store.root / 'sweeps'}")
    path = store.root / "sweeps" / matching[0] / "manifest.json"
    try:
        values = read_json(path)
        if values.pop("schema") != SCHEMA:
            raise DamagedFile(f"{path}: another version's manifest")
        return Manifest(**values)
    except (FileNotFoundError, DamagedFile, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"manifest {path} cannot be read ({error}): issue the sweep's command again") from None


def sweep_names(store: Store) -> list[str]:
    """Return the names of all sweeps of a store, the most recently launched last."""
    paths = list((store.root / "sweeps").glob("*/manifest.json"))
    return [path.parent.name for path in sorted(paths, key=lambda path: path.stat().st_mtime)]
