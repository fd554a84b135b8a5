"""A user's modules may have any name: commands do not put modules of their own beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from commands import SUPPORT

SHRUNK = ["seed=0", "training.steps=3", "device=cpu"]


def irm_sweeps(*words: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "irm_sweeps", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_method_in_a_file_named_as_one_of_ours_is_found_by_every_command(tmp_path: Path) -> None:
    irm_sweeps("init", "mine", folder=tmp_path)
    project = tmp_path / "mine"
    (project / "methods" / "risk_gap.py").rename(project / "rules.py")
    for path in project.rglob("*.yaml"):
        path.write_text(path.read_text().replace("methods.risk_gap.", "rules."))
    irm_sweeps("launch", "-m", "paper=mine", *SHRUNK, folder=project)
    table = irm_sweeps("table", "--paper", "mine", *SHRUNK, folder=project)
    assert "| risk gap |" in table
    assert "not available" not in table
    assert "missing" not in table
    page = project / "page.html"
    irm_sweeps("report", *SHRUNK, "--output", str(page), folder=project)
    assert "risk_gap" in page.read_text()
