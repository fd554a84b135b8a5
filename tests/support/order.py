"""Which test files begin first, where several processes share them (`pytest @.ci/pytest.args`).

A process gets whole files, so that in the end all wait for a long one that began late. Left alone, pytest-xdist begins
with the files of the most tests, and last with the one test that takes minutes: hence `--no-loadscope-reorder`, and
this hook.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

LONG = (
    "faults/test_kills.py",
    "training/test_compiled.py",
    "launchers/test_local_pool.py",
    "repository/test_package.py",
    "launchers/test_search.py",
    "docs/test_how_tos.py",
    "faults/test_hosts.py",
    "docs/test_tutorial.py",
    "faults/test_power_cut.py",
    "faults/test_disk.py",
    "faults/test_race.py",
)
"""Files that take between two minutes and half a minute for few tests (2 cores, busy, 2026-11-22), longest first."""

TESTS = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the long files first, then those of the files with most tests; a file's own stay in order."""
    tests = Counter(item.path for item in items)
    ranks = {TESTS / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: (ranks.get(item.path, len(LONG)), -tests[item.path], str(item.path)))
