"""Fixtures on a real SLURM cluster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

import cluster
from bench import GATED, Bench, eventually


@pytest.fixture(scope="session")
def _cluster() -> None:
    reason = cluster.available()
    if reason is not None:
        pytest.skip(f"no SLURM cluster can be started here: {reason}")
    cluster.start()


@pytest.fixture
def bench(_cluster: None, tmp_path: Path) -> Iterator[Bench]:
    """A bench on a healthy cluster; its jobs are cancelled at the end."""
    cluster.start()
    made = Bench(tmp_path)
    yield made
    cluster.start()
    jobs = made.job_ids()
    if jobs:
        arrays = sorted({job.partition("_")[0] for job in jobs})
        subprocess.run(["scancel", *arrays], check=False, timeout=60)
        mine = ",".join(arrays)

        def gone() -> bool:
            left = subprocess.run(["squeue", "-h", "-j", mine], capture_output=True, text=True, timeout=60)
            return not left.stdout.strip()

        eventually(gone, "cancelled jobs leave the queue")


@pytest.fixture(scope="session")
def undisturbed(_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Outcomes of the gated trials with seeds 0 and 1, trained in one process without a break."""
    made = Bench(tmp_path_factory.mktemp("undisturbed"))
    made.gate.touch()
    done = made.launch("hydra/launcher=inprocess", *GATED, "seed=0,1")
    assert done.returncode == 0, done.stderr
    return made.outcomes()
