"""The how-tos: their files are written, their commands run, and their classes pass the contract suites."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import ROOT, launch
from irm_sweeps.analysis import figure_command, table_command
from pages import DOCS, Page

SMALLER = "training.steps=3"


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From a how-to's name to the page, in a folder where its files have been written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRM_SWEEPS_CONF", "my_conf")
    monkeypatch.setattr(sys, "path", list(sys.path))

    def read(name: str) -> Page:
        page = Page(DOCS / "how_to" / f"{name}.md")
        page.write(tmp_path)
        return page

    return read


def answers(page: Page) -> list[str]:
    """What `launch.py` says to the page's commands."""
    found = []
    for words in page.commands:
        if words[:2] == ["python", "launch.py"]:
            answer = launch(*words[2:])
            assert answer.code == 0, answer
            found.append(answer.out)
    return found


def contract(suite: str, name: str) -> None:
    """Run a contract suite over the reader's own class."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), str(ROOT / suite), "-k", name, "-q"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert " passed" in answer.stdout.splitlines()[-1] or re.search(r"^\.+", answer.stdout, re.M), answer.stdout


def test_a_method_with_stages(reader) -> None:
    """The command trains both trials, and the class passes the contract suite."""
    (swept,) = answers(reader("stages"))
    assert "2 completed" in swept
    contract("tests/methods/contract", "error_weights")


def test_a_dataset(reader) -> None:
    """The commands, and the accuracies that the page prints: ERM uses the spurious bit, IRMv1 does not."""
    page = reader("dataset")
    erm, irmv1, swept = answers(page)
    assert shifted(erm) < 20 < 70 < shifted(irmv1)
    assert "4 completed" in swept
    contract("tests/data/test_datasets_contract.py", "two_bits")


def shifted(scores: str) -> float:
    found = re.search(r"test\s+0\.9\s+accuracy\s+([\d.]+) %", scores)
    assert found, scores
    return float(found[1])


def test_a_backbone(reader) -> None:
    page = reader("backbone")
    alone, swept = answers(page)
    assert "completed" in alone
    assert "4 completed" in swept
    contract("tests/backbones/test_backbones_contract.py", "convnet")


def test_a_paper_s_table(reader, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands in their order, on fewer steps: what the table lacks, the page's last command says."""
    page = reader("paper_table")
    printed = []
    for program, script, *words in (words for words in page.commands if words[0] == "python"):
        assert program == "python"
        smaller = words if any(word.startswith("training.steps") for word in words) else [*words, SMALLER]
        if script == "launch.py":
            answer = launch(*smaller)
            assert answer.code == 0, answer
            printed.append(answer.out)
        else:
            capsys.readouterr()
            {"analysis/tables.py": table_command, "analysis/figures.py": figure_command}[script].main(smaller)
            printed.append(capsys.readouterr().out)
    planned, ran, table, latex, picture, shrunk, partly, missing = printed
    assert planned.startswith("0 done, 6 to run")
    assert "6 completed" in ran
    assert table.count("(n=3)") == 4
    assert re.search(r"^\| Chance +\| 50\.0 +\| 50\.0 ", table, re.M)
    assert (latex.strip(), picture.strip()) == ("mine.tex", "results/mine.png")
    assert "2 completed" in shrunk
    assert (partly.count("(n=2)"), partly.count("V-REx")) == (2, 0)
    assert missing == ""
