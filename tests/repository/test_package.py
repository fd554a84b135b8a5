"""The wheel: its content, and that it works in an empty folder and for a user's project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import ROOT, SMALL, SUPPORT

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as pip would, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is unpacked, as pip unpacks it into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Run Python in an empty folder, on the unpacked wheel and not on this checkout."""
    hidden = ("IRM_SWEEPS_CONF", "IRM_SWEEPS_DATA_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def issue(*words: str, folder: Path = tmp_path, code: int = 0) -> subprocess.CompletedProcess[str]:
        answer = subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert answer.returncode == code, answer.stdout + answer.stderr
        return answer

    return issue


def test_it_carries_everything(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    folders = {"conf": "irm_sweeps/conf", "src": "."}
    for folder, inside in folders.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (Path(inside) / path.relative_to(ROOT / folder)).as_posix() in names
    assert {"irm_sweeps/py.typed", "irm_sweeps/project/template/gitignore"} < names
    assert {name.split("/")[0] for name in names if not name.startswith("irm_sweeps-")} == {
        "irm_sweeps",
        "hydra_plugins",
    }
    assert not [name for name in names if "__pycache__" in name]
    assert "irm-sweeps = irm_sweeps.cli:main" in entry_points


def test_it_works_in_an_empty_folder(run: Run, site: Path, tmp_path: Path) -> None:
    """Sweep, table and figure; what it tells to type is what there is."""
    assert run("-c", "import irm_sweeps; print(irm_sweeps.__file__)").stdout.startswith(str(site))
    small = [word for word in SMALL if not word.startswith("device=")]
    swept = run(
        "-m",
        "irm_sweeps",
        "launch",
        "-m",
        "paper=demo",
        "paper.only=[erm]",
        *small,
        "seed=0,1",
        "hydra.launcher.slots=1",
    )
    assert "2 completed" in swept.stdout
    demo = ["--paper", "demo", *small, "seed=0,1"]
    commands = [
        *(["table", *demo], ["table", *demo, "--format", "html"], ["figure", *demo]),
        *(["report", "--help"], ["launch", "--help"]),
    ]
    answers = json.loads(run(str(SUPPORT / "each_command.py"), json.dumps(commands)).stdout)
    assert [code for code, _, _ in answers] == [0] * 5, answers
    table, page, figure, report, launch = (out for _, out, _ in answers)
    assert "(n=2)" in table
    assert "irm-sweeps launch -m paper=demo 'paper.only=[vrex]'" in table
    assert "</html>" in page, "the templates are there"
    assert (tmp_path / figure.strip()).stat().st_size > 10_000
    assert "irm-sweeps report" in report
    assert "irm-sweeps launch" in launch


def test_a_project_of_one_s_own(run: Run, tmp_path: Path) -> None:
    """As it is written: its sweep, its table, its tests."""
    project = tmp_path / "mine"
    told = run("-m", "irm_sweeps", "init", "mine").stdout
    commands = [line.partition("#")[0].split() for line in told.splitlines() if line.startswith("  ")]
    assert commands[0] == ["cd", "mine"]
    outputs = []
    for program, *words in commands[1:]:
        started = ["-m", "irm_sweeps", *words] if program == "irm-sweeps" else words
        outputs.append(run(*started, folder=project).stdout)
    swept, table, tests = outputs
    assert "9 completed" in swept
    assert table.count("(n=3)") == 6
    assert "missing" not in table
    assert "failed" not in tests

    again = run("-m", "irm_sweeps", "init", "mine", code=2)
    assert again.stderr == "error: mine is not empty: give a folder that is new or empty\n"
    assert (project / ".gitignore").exists()
    assert "RiskGap" in (project / "methods" / "risk_gap.py").read_text()
