"""A project of one's own whose method is edited: what launch, table and reproduce say of the earlier results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from commands import SUPPORT

SHRUNK = ["seed=0", "training.steps=30", "device=cpu", "paper.only=[risk_gap]"]
PENALTY = "(risks.amax() - risks.amin()).square()"


def irm_sweeps(*words: str, folder: Path, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "irm_sweeps", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr + done.stdout


def test_the_formula_of_a_method_is_edited_and_the_edit_undone(tmp_path: Path) -> None:
    irm_sweeps("init", "mine", folder=tmp_path)
    project = tmp_path / "mine"
    (project / "spread.py").write_text("def spread(risks):\n    return (risks.amax() - risks.amin()).square()\n")
    method = project / "methods" / "risk_gap.py"
    text = method.read_text().replace(PENALTY, "spread(risks)")
    text = text.replace("from torch import", "from spread import spread\nfrom torch import")
    method.write_text(text)
    irm_sweeps("launch", "-m", "paper=mine", *SHRUNK, folder=project)
    (first,) = [path for path in (project / "results").iterdir() if (path / "result.json").is_file()]

    helper = project / "spread.py"
    before = helper.read_text()
    helper.write_text(before.replace("square", "abs"))
    planned = irm_sweeps("launch", "-m", "paper=mine", *SHRUNK, "plan=true", folder=project)
    assert "0 done, 1 to run" in planned
    assert planned.count("1 done by an earlier version of methods.risk_gap.RiskGap") == 1
    table = irm_sweeps("table", "--paper", "mine", *SHRUNK, folder=project)
    assert "no result yet: 1 of 1 trials, 1 done by an earlier version of methods.risk_gap.RiskGap" in table
    again = irm_sweeps("reproduce", first.name, "--trust", folder=project, code=1)
    assert "  code of spread: " in again
    assert "code of methods.risk_gap" not in again
    assert "1 completed" in irm_sweeps("launch", "-m", "paper=mine", *SHRUNK, folder=project)

    helper.write_text(f"# as before\n{before}")
    method.write_text(
        text.replace("        del at, features, logits\n", "        del at, features, logits  # unused\n\n")
    )
    planned = irm_sweeps("launch", "-m", "paper=mine", *SHRUNK, "plan=true", folder=project)
    assert "1 done, 0 to run" in planned
    assert "earlier version" not in planned
    assert "equal: " in irm_sweeps("reproduce", first.name, "--trust", folder=project)


def test_the_table_command_that_a_sweep_names_prints_the_same_table(tmp_path: Path) -> None:
    irm_sweeps("init", "mine", folder=tmp_path)
    project = tmp_path / "mine"
    ended = irm_sweeps("launch", "-m", "seed=0", "dataset=two_bits", "training.steps=5", "device=cpu", folder=project)
    (named,) = [line for line in ended.splitlines() if line.startswith("table again")]
    again = irm_sweeps(*named.partition(": irm-sweeps ")[2].split(), folder=project)
    assert "shifted" in again.splitlines()[2]
    assert ended.endswith(again)
