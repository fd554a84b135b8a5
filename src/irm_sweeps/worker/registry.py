"""The workers of a sweep: `results/sweeps/<sweep>/workers/` holds one small file per living worker."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps import slurm
from irm_sweeps.files.atomic import discard, make_folder, to_json, write_atomically
from irm_sweeps.files.reading import DamagedFile, read_json
from irm_sweeps.store.liveness import Process, is_here, this_process
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store


@dataclass(frozen=True)
class RegisteredWorker:
    """One registered worker.

    Attributes
    ----------
    process
        The worker's process.
    starter
        The pid of the process that started it.
    gpu
        The GPU that it was given; None: none.
    log
        The name of the file to which submitit sends the worker's stderr; empty in entries of earlier versions.
    """

    process: Process
    starter: int
    gpu: str | None
    log: str


@contextmanager
def registered(store: Store, manifest: Manifest, gpu: str | None) -> Iterator[None]:
    """Register this worker while the block runs."""
    folder = manifest.folder(store) / "workers"
    make_folder(folder)
    path = folder / f"{secrets.token_hex(6)}.json"
    process = this_process()
    entry = {
        "process": process.as_json(),
        "starter": os.getppid(),
        "gpu": gpu,
        "log": _log_name(process),
    }
    write_atomically(path, to_json(entry))
    try:
        yield
    finally:
        discard(path)


def _log_name(process: Process) -> str:
    """Return the name that submitit gives the log of this process's stderr."""
    job, rank = str(os.getppid()), "0"
    if slurm.is_submitted_task():
        job, rank = process.job or job, slurm.rank()
    return f"{job}_{rank}_log.err"


def workers_here(store: Store, manifest: Manifest) -> tuple[list[RegisteredWorker], list[RegisteredWorker]]:
    """Return the sweep's living workers on this machine and its dead ones, whose entries are removed."""
    living, dead = [], []
    for path, entry in _entries(store, manifest):
        if not is_here(entry.process):
            continue
        if entry.process.is_seen_alive() is False:
            dead.append(entry)
            discard(path)
        else:
            living.append(entry)
    return living, dead


def siblings(store: Store, manifest: Manifest) -> list[RegisteredWorker]:
    """Return the other workers of this process's SLURM job that live on this machine and work on this sweep.

    A job with several tasks runs one worker process per task; these are the other tasks' workers.
    """
    me = this_process()
    living, _ = workers_here(store, manifest)
    return [entry for entry in living if entry.process.job == me.job and entry.process != me]


def living(store: Store, manifest: Manifest, at_work: Collection[Process]) -> list[RegisteredWorker]:
    """Return the sweep's living workers.

    Parameters
    ----------
    at_work
        Processes whose claims are in force: a worker on another machine counts as living if it is among them. Of a
        worker on this machine, the system knows.
    """
    return [
        entry
        for _, entry in _entries(store, manifest)
        if (alive if (alive := entry.process.is_seen_alive()) is not None else entry.process in at_work)
    ]


def logs_of_living(store: Store, manifest: Manifest, at_work: Collection[Process]) -> set[str]:
    """Return the names of the logs of the workers that `living` returns."""
    return {entry.log for entry in living(store, manifest, at_work)}


def _entries(store: Store, manifest: Manifest) -> Iterator[tuple[Path, RegisteredWorker]]:
    """Yield the path and the content of each readable entry."""
    for path in (manifest.folder(store) / "workers").glob("*.json"):
        try:
            values = read_json(path)
            process, log = Process.from_json(values["process"]), str(values.get("log", ""))
            entry = RegisteredWorker(process, int(values["starter"]), values["gpu"], log)
        except (FileNotFoundError, DamagedFile, KeyError, TypeError, ValueError):
            continue
        yield path, entry
