"""`irm-sweeps cancel`: end the SLURM jobs of a sweep."""

from __future__ import annotations

import argparse
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from irm_sweeps.commands.arguments import Commands, add_store_command, add_sweep, open_store
from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.store import Store
    from irm_sweeps.worker.registry import RegisteredWorker


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    text = "Cancel the SLURM jobs of a sweep, queued or running. Of other workers it says how to end them."
    add_sweep(add_store_command(commands, "cancel", text))


def run(options: argparse.Namespace) -> None:
    """Cancel the jobs and print their ids.

    Raises
    ------
    UserError
        Workers that are no SLURM jobs go on.
    """
    from irm_sweeps.launchers.slurm_jobs import JobRecord
    from irm_sweeps.store.manifest import read_manifest

    store = open_store(options)
    manifest = read_manifest(store, options.sweep)
    cancelled = ", ".join(JobRecord(store, manifest).cancel())
    workers = _workers_without_slurm(store, manifest)
    if cancelled or not workers:
        print(f"{manifest.name}: cancelled {cancelled or 'nothing: no job is queued or running'}")
    if workers:
        raise UserError(_how_to_end(manifest.name, workers))


def _workers_without_slurm(store: Store, manifest: Manifest) -> list[RegisteredWorker]:
    """Return the sweep's living workers that are in no SLURM job."""
    from irm_sweeps.store import claims
    from irm_sweeps.worker.registry import living

    at_work = set()
    for trial_id in manifest.trials:
        with suppress(StoreError):  # a worker whose claim may not be read is looked up by its pid
            if claim := claims.in_force(store, trial_id):
                at_work.add(claim.holder)
    return [worker for worker in living(store, manifest, at_work) if worker.process.job is None]


def _how_to_end(sweep: str, workers: list[RegisteredWorker]) -> str:
    pids_by_host: dict[str, list[int]] = defaultdict(list)
    for worker in workers:
        pids_by_host[worker.process.host].append(worker.process.pid)
    kill = "; ".join(f"kill {' '.join(map(str, sorted(pids)))} on {host}" for host, pids in pids_by_host.items())
    verb, them, have = ("goes", "it", "it has") if len(workers) == 1 else ("go", "them", "they have")
    return (
        f"sweep {sweep}: {count(len(workers), 'worker')} in no SLURM job {verb} on: Ctrl-C where the sweep was "
        f"launched ends {them} once {have} saved, or, where that command has ended, {kill}"
    )
