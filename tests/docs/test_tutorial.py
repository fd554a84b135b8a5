"""The tutorial: its files are written and its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "a_method_in_30_lines.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in re.findall(r"```\w+ file=(\S+)\n(.*?)```", TEXT, re.S):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "IRM_SWEEPS_CONF": "my_conf", "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_the_method_is_no_longer_than_promised(folder: Path) -> None:
    assert len((folder / "log_vrex.py").read_text().splitlines()) <= 30


def test_its_commands_work(folder: Path) -> None:
    by_path, by_name = re.findall(r"```console\n(?:export .*?\n)?(python launch.*?)```", TEXT, re.S)
    outputs = []
    for line in [*by_name.splitlines(), *by_path.splitlines()]:
        words = line.split()
        if words[0] == "python":
            outputs.append(run(folder, sys.executable, str(ROOT / words[1]), *words[2:]))
        else:
            outputs.append(run(folder, str(Path(sys.executable).parent / words[0]), *words[1:]))
    assert "completed" in outputs[0]
    assert "1 done, 3 to run" in outputs[1]
    assert "log_vrex  (stacks, lam=10000)" in outputs[2]
    assert "0 done, 2 to run" in outputs[3]
    assert "2 completed" in outputs[3]


def test_the_conformance_suite_takes_it_in(folder: Path) -> None:
    suite = str(ROOT / "tests" / "methods" / "contract")
    output = run(folder, sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), suite, "-k", "log_vrex")
    assert int(re.search(r"(\d+) passed", output)[1]) >= 8, output  # type: ignore[index]
