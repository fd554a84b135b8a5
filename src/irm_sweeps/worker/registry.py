"""Which workers are at a sweep: `results/sweeps/<sweep>/workers/`, one small file per living worker."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps.files.atomic import discard, make_folder, to_json, write_atomically
from irm_sweeps.files.reading import DamagedFile, read_json
from irm_sweeps.store.liveness import Process, is_here, this_process
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store


@dataclass(frozen=True)
class Entry:
    """One worker: who it is, the pid of the process that started it, and which GPU it was given, if any.

    Attributes
    ----------
    log
        Where submitit has its stderr go, by name; empty where an earlier version wrote the entry.
    """

    process: Process
    starter: int
    gpu: str | None
    log: str


@contextmanager
def on_roster(store: Store, manifest: Manifest, gpu: str | None) -> Iterator[None]:
    """Be on the sweep's roster meanwhile."""
    folder = manifest.folder(store) / "workers"
    make_folder(folder)
    path = folder / f"{secrets.token_hex(6)}.json"
    me = this_process()
    job, rank = str(os.getppid()), "0"
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":  # not where a local pool works inside somebody's SLURM job
        job, rank = me.job or job, os.environ.get("SLURM_PROCID", rank)
    log = f"{job}_{rank}_log.err"
    entry = {"process": me.as_json(), "starter": os.getppid(), "gpu": gpu, "log": log}
    write_atomically(path, to_json(entry))
    try:
        yield
    finally:
        discard(path)


def workers_here(store: Store, manifest: Manifest) -> list[Entry]:
    """Return the sweep's living workers on this machine; entries of dead ones are removed."""
    living = []
    for path, entry in _entries(store, manifest):
        if not is_here(entry.process):
            continue
        if entry.process.is_alive(path):
            living.append(entry)
        else:
            discard(path)
    return living


def logs_of_living(store: Store, manifest: Manifest, at_work: Collection[Process]) -> set[str]:
    """Return the logs of the sweep's workers that live: on this machine for certain, elsewhere those `at_work`."""
    return {
        entry.log
        for path, entry in _entries(store, manifest)
        if (entry.process.is_alive(path) if is_here(entry.process) else entry.process in at_work)
    }


def _entries(store: Store, manifest: Manifest) -> Iterator[tuple[Path, Entry]]:
    for path in (manifest.folder(store) / "workers").glob("*.json"):
        try:
            values = read_json(path)
            process, log = Process.from_json(values["process"]), str(values.get("log", ""))
            entry = Entry(process, int(values["starter"]), values["gpu"], log)
        except (FileNotFoundError, DamagedFile, KeyError, TypeError, ValueError):
            continue
        yield path, entry


def siblings(store: Store, manifest: Manifest) -> list[Entry]:
    """Return the living workers on this machine that share this process's SLURM job."""
    me = this_process()
    here = workers_here(store, manifest)
    return [entry for entry in here if entry.process.job == me.job and entry.process != me]
