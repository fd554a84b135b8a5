"""`irm-sweeps cancel` where no SLURM job is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from commands import irm_sweeps
from irm_sweeps.store.manifest import read_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.worker.registry import registered


def test_workers_without_a_job_are_named_with_what_ends_them(trained_store: Path, tmp_path: Path) -> None:
    results = Path(shutil.copytree(trained_store, tmp_path / "results"))
    store = Store(results)
    manifest = read_manifest(store, "sweep-")
    with registered(store, manifest, gpu=None):
        complaint = irm_sweeps("cancel", "sweep-", "--results", str(results)).complaint
    assert manifest.name in complaint
    assert "1 worker in no SLURM job goes on: Ctrl-C" in complaint
    assert f"kill {os.getpid()} on {os.uname().nodename}" in complaint
    answer = irm_sweeps("cancel", "sweep-", "--results", str(results))
    assert (answer.code, answer.out) == (0, f"{manifest.name}: cancelled nothing: no job is queued or running\n")
