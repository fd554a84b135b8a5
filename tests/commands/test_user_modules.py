"""A user's modules may have any name: commands do not put modules of their own beside them."""

from __future__ import annotations

from pathlib import Path

from commands import in_project

SHRUNK = ["seed=0", "training.steps=3", "device=cpu"]


def test_a_method_in_a_file_named_as_one_of_ours_is_found_by_every_command(tmp_path: Path) -> None:
    in_project(tmp_path, "init", "mine")
    project = tmp_path / "mine"
    (project / "methods" / "risk_gap.py").rename(project / "rules.py")
    for path in project.rglob("*.yaml"):
        path.write_text(path.read_text().replace("methods.risk_gap.", "rules."))
    in_project(project, "launch", "-m", "paper=mine", *SHRUNK)
    table = in_project(project, "table", "--paper", "mine", *SHRUNK)
    assert "| risk gap |" in table
    assert "not available" not in table
    assert "missing" not in table
    page = project / "page.html"
    in_project(project, "report", *SHRUNK, "--output", str(page))
    assert "risk_gap" in page.read_text()
