"""A project of one's own whose method is edited: what launch, table and reproduce say of the earlier results."""

from __future__ import annotations

from pathlib import Path

from commands import in_project

SHRUNK = ["seed=0", "training.steps=30", "device=cpu", "paper.only=[risk_gap]"]
HERE = "hydra/launcher=inprocess"
PENALTY = "(risks.amax() - risks.amin()).square()"


def test_the_formula_of_a_method_is_edited_and_the_edit_undone(tmp_path: Path) -> None:
    in_project(tmp_path, "init", "mine")
    project = tmp_path / "mine"
    (project / "spread.py").write_text("def spread(risks):\n    return (risks.amax() - risks.amin()).square()\n")
    method = project / "methods" / "risk_gap.py"
    text = method.read_text().replace(PENALTY, "spread(risks)")
    text = text.replace("from torch import", "from spread import spread\nfrom torch import")
    method.write_text(text)
    in_project(project, "launch", "-m", "paper=mine", *SHRUNK, HERE)
    (first,) = [path for path in (project / "results").iterdir() if (path / "result.json").is_file()]

    helper = project / "spread.py"
    before = helper.read_text()
    helper.write_text(before.replace("square", "abs"))
    planned = in_project(project, "launch", "-m", "paper=mine", *SHRUNK, "plan=true")
    assert "0 done, 1 to run" in planned
    assert planned.count("1 done by an earlier version of methods.risk_gap.RiskGap") == 1
    table = in_project(project, "table", "--paper", "mine", *SHRUNK)
    assert "no result yet: 1 of 1 trial, 1 done by an earlier version of methods.risk_gap.RiskGap" in table
    again = in_project(project, "reproduce", first.name, "--trust", code=1)
    assert "  code of spread: " in again
    assert "code of methods.risk_gap" not in again
    assert "1 completed" in in_project(project, "launch", "-m", "paper=mine", *SHRUNK, HERE)

    helper.write_text(f"# as before\n{before}")
    method.write_text(
        text.replace("        del at, features, logits\n", "        del at, features, logits  # unused\n\n")
    )
    planned = in_project(project, "launch", "-m", "paper=mine", *SHRUNK, "plan=true")
    assert "1 done, 0 to run" in planned
    assert "earlier version" not in planned
    assert "equal: " in in_project(project, "reproduce", first.name, "--trust")


def test_the_table_command_that_a_sweep_names_prints_the_same_table(tmp_path: Path) -> None:
    in_project(tmp_path, "init", "mine")
    project = tmp_path / "mine"
    ended = in_project(project, "launch", "-m", "seed=0", "dataset=two_bits", "training.steps=5", "device=cpu")
    (named,) = [line for line in ended.splitlines() if line.startswith("table again")]
    again = in_project(project, *named.partition(": irm-sweeps ")[2].split())
    assert "shifted" in again.splitlines()[2]
    assert ended.endswith(again)
