"""What submitit starts: where it imports from, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.store.manifest import write_manifest
from irm_sweeps.store.store import Store

FIRST_TASK = """
import sys
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.worker import registry
living = [["the second"], ["the second"], []]
registry.siblings = lambda store, manifest: living.pop(0)
WorkerTask._work = lambda *arguments: int(sys.argv[3])
try:
    WorkerTask(sys.argv[1], sys.argv[2])()
except SystemExit as end:
    assert end.code == int(sys.argv[3])
assert living == []
"""


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_task_that_requeues_its_job_waits_for_the_others_however_it_ends(tmp_path: Path, code: int) -> None:
    """All is done, its GPU is lost, its device does not start."""
    environment = {**os.environ, "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "9"}
    store = Store(tmp_path / "results")
    store.prepare()
    settings = {"data_dir": "data", "device": "cpu", "on_error": "continue", "checkpoint_seconds": 30}
    written = write_manifest(store, "sweep", {}, [], settings)
    arguments = [str(store.root), written.name, str(code)]
    subprocess.run([sys.executable, "-c", FIRST_TASK, *arguments], env=environment, check=True, timeout=60)


def test_a_worker_imports_from_where_its_launcher_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path) in WorkerTask("results", "sweep").folders
