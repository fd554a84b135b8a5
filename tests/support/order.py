"""Order the test files so that the longest start first, for runs in several processes (`pytest @.ci/pytest.args`).

Each process runs whole files, so a long file that starts late delays the end of the run. By default, pytest-xdist
starts with the files with the most tests, and so starts a file with one test of several minutes last. The option
`--no-loadscope-reorder` and this hook prevent that.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

LONG = (
    "faults/test_bad_trials.py",
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
"""Files with few tests that take from 30 s to two minutes (2 busy cores, 2026-11-22), longest first."""

TESTS = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the long files first, then those of the files with most tests; a file's own stay in order."""
    tests = Counter(item.path for item in items)
    ranks = {TESTS / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: (ranks.get(item.path, len(LONG)), -tests[item.path], str(item.path)))
