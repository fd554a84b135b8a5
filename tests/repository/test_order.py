"""The options of the whole suite are in one file, and its long files start first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import order
from pages import ROOT

OPTIONS = ROOT / ".ci" / "pytest.args"


def test_both_ways_to_run_all_tests_read_the_same_options() -> None:
    assert "python -m pytest @.ci/pytest.args\n" in (ROOT / "Makefile").read_text()
    assert '-m pytest @.ci/pytest.args "$@"\n' in (ROOT / ".ci" / "versions").read_text()


def test_the_long_files_are_there() -> None:
    assert all((order.TESTS / name).is_file() for name in order.LONG)
    assert len(set(order.LONG)) == len(order.LONG)


def test_there_are_more_processes_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert order.pytest_xdist_auto_num_workers() == 3
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "2")
    assert order.pytest_xdist_auto_num_workers() is None


def test_a_process_begins_with_the_long_files_and_goes_on_with_those_of_most_tests(tmp_path: Path) -> None:
    """Played by small files of the same names."""
    first, second = order.LONG[:2]
    files = {"test_a.py": 2, "test_b.py": 4, "test_c.py": 3, second: 1, first: 1}
    for name, tests in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(f"def test_{name[-4]}_{n}(): pass" for n in range(tests)))
    (tmp_path / "conftest.py").write_text(
        f"import sys; sys.path.append({str(ROOT / 'tests' / 'support')!r})\n"
        "import pathlib, order\nfrom order import pytest_collection_modifyitems\n"
        "order.TESTS = pathlib.Path(__file__).parent\n"
    )
    one = ["--numprocesses=1", "--verbose", "-p", "no:cacheprovider", "--import-mode=importlib", "."]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", f"@{OPTIONS}", *one], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    begun = re.findall(r"PASSED (\S+?)::", ran.stdout)
    assert len(begun) == sum(files.values()), ran.stdout + ran.stderr
    assert list(dict.fromkeys(begun)) == [first, second, "test_b.py", "test_c.py", "test_a.py"]
