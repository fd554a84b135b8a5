"""`irm-sweeps cancel`: end the SLURM jobs of a sweep."""

from __future__ import annotations

import argparse

from irm_sweeps.commands.arguments import Commands, add_store_command, add_sweep, open_store


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    add_sweep(add_store_command(commands, "cancel", "Cancel the SLURM jobs of a sweep, queued or running."))


def run(options: argparse.Namespace) -> None:
    """Cancel the jobs and print their ids."""
    from irm_sweeps.launchers.slurm_jobs import JobRecord
    from irm_sweeps.store.manifest import read_manifest

    store = open_store(options)
    manifest = read_manifest(store, options.sweep)
    cancelled = ", ".join(JobRecord(store, manifest).cancel())
    print(f"{manifest.name}: cancelled {cancelled or 'nothing: no job is queued or running'}")
