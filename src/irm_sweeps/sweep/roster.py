"""Which workers are at a sweep: `results/sweeps/<sweep>/workers/`, one small file per living worker."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from irm_sweeps.sweep.files import DamagedFile, discard, make_folder, read_json, to_json, write_atomically
from irm_sweeps.sweep.manifest import Manifest
from irm_sweeps.sweep.process import Process, is_here, this_process
from irm_sweeps.sweep.store import Store


@dataclass(frozen=True)
class Entry:
    """One worker: who it is, the pid of the process that started it, and which GPU it was given, if any."""

    process: Process
    starter: int
    gpu: str | None


@contextmanager
def on_roster(store: Store, manifest: Manifest, gpu: str | None) -> Iterator[None]:
    """Be on the sweep's roster meanwhile."""
    folder = manifest.folder(store) / "workers"
    make_folder(folder)
    path = folder / f"{secrets.token_hex(6)}.json"
    entry = {"process": this_process().as_json(), "starter": os.getppid(), "gpu": gpu}
    write_atomically(path, to_json(entry))
    try:
        yield
    finally:
        discard(path)


def workers_here(store: Store, manifest: Manifest) -> list[Entry]:
    """Return the sweep's living workers on this machine; entries of dead ones are removed."""
    living = []
    for path in (manifest.folder(store) / "workers").glob("*.json"):
        try:
            values = read_json(path)
            entry = Entry(Process.from_json(values["process"]), int(values["starter"]), values["gpu"])
        except (FileNotFoundError, DamagedFile, KeyError, TypeError, ValueError):
            continue
        if not is_here(entry.process):
            continue
        if entry.process.is_alive(path):
            living.append(entry)
        else:
            discard(path)
    return living


def siblings(store: Store, manifest: Manifest) -> list[Entry]:
    """Return the living workers on this machine that share this process's SLURM job."""
    me = this_process()
    here = workers_here(store, manifest)
    return [entry for entry in here if entry.process.job == me.job and entry.process != me]
