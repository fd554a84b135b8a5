"""The benchmarks' frame: ratios do not depend on the unit, and a regression is reported."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(
    path.name for path in FOLDER.glob("*.py") if path.name not in ("frame.py", "single_steps.py", "thousands.py")
)


@pytest.fixture(scope="module")
def frame() -> ModuleType:
    spec = importlib.util.spec_from_file_location("frame", FOLDER / "frame.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["frame"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("better", "ratio"), [("low", 2.0), ("high", 0.5)])
def test_above_one_is_better_whatever_the_unit(frame: ModuleType, better: str, ratio: float) -> None:
    table = frame.Table("question", rival="theirs", unit="s", better=better)
    ours, theirs = itertools.cycle([2.0, 9.0, 1.0]), itertools.cycle([4.0, 5.0, 3.0])
    table.measure({"ours": lambda: next(ours), "theirs": lambda: next(theirs)}, rounds=3)
    assert table.ratios() == {"question: ours / theirs": pytest.approx(ratio)}


def test_benchmarks_of_one_commit_share_a_row(frame: ModuleType) -> None:
    old, new = {"commit": "a", "device": "cpu"}, {"commit": "b", "device": "cpu"}
    rows = frame.with_row([], old, {"steps": 2.0}, 0.1)
    rows = frame.with_row(rows, new, {"steps": 2.5}, 0.1)
    rows = frame.with_row(rows, new, {"start": 3.0}, 0.2)
    assert [(row["commit"], row.get("steps"), row.get("start")) for row in rows] == [
        ("a", "2", None),
        ("b", "2.5", "3"),
    ]


def test_a_regression_is_pointed_at(frame: ModuleType) -> None:
    rows = [
        {"commit": "a", "device": "cpu", "steps": "9", "start": "3"},
        {"commit": "b", "device": "cpu", "steps": "2", "start": ""},
        {"commit": "b", "device": "gpu", "steps": "90", "start": "90"},
        {"commit": "now", "device": "cpu", "steps": "70", "start": ""},
    ]
    facts = {"commit": "now", "device": "cpu"}
    assert frame.fallen({"steps": 7.3, "start": 2.9, "unknown": 0.1}, rows, facts) == []
    assert frame.fallen({"steps": 7.1, "start": 1.0}, rows, facts) == [
        "fallen: steps: 7.1, was 9 at a",
        "fallen: start: 1, was 3 at a",
    ]


def test_the_same_values_against_each_rival(frame: ModuleType) -> None:
    table = frame.Table("question", "joblib", "s", note="once", values={"ours": [2.0], "joblib": [4.0], "ray": [6.0]})
    assert table.against("ray").ratios() == {"question: ours / ray": 3.0, "question: joblib / ray": 1.5}
    assert table.ratios() == {"question: ours / joblib": 2.0, "question: ray / joblib": pytest.approx(2 / 3)}
    assert sum("once" in line for line in [*table.lines(), *table.against("ray").lines()]) == 1


def test_a_rival_that_is_not_installed_is_skipped_by_name(
    frame: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.installed("json", "JSON")
    assert capsys.readouterr().out == ""
    assert not frame.installed("no_such_rival", "The Rival")
    assert re.fullmatch(
        r"skipped: The Rival: .*no_such_rival .*pip install '\.\[rivals\]'.*\n", capsys.readouterr().out
    )


def test_seconds_to_an_accuracy_names_the_files_that_are_absent(tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").touch()
    script = [sys.executable, FOLDER / "seconds_to_accuracy.py", "--data-dir", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("skipped: ")
    assert "cifar10.npz" in done.stdout
    assert "mnist.npz" not in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_says_what_it_asks(script: str) -> None:
    done = subprocess.run([sys.executable, FOLDER / script, "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "--rounds" in done.stdout
    assert "?" in done.stdout
