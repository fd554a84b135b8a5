"""Order the test files so that the longest start first, and say in how many processes (`pytest @.ci/pytest.args`).

Each process runs whole files, so a long file that starts late delays the end of the run. By default, pytest-xdist
starts with the files with the most tests, and so starts a file with one test of several minutes last. The option
`--no-loadscope-reorder` and this hook prevent that.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path

import pytest

LONG = (
    "launchers/test_local_pool.py",
    "faults/test_kills.py",
    "faults/test_bad_trials.py",
    "training/test_compiled.py",
    "methods/contract/test_compiled.py",
    "launchers/test_submitted_code.py",
    "launchers/test_bad_ends.py",
    "launchers/test_stalls.py",
    "repository/test_package.py",
    "docs/test_how_tos.py",
    "launchers/test_successors.py",
    "sweep/test_experiments.py",
    "sweep/test_cost.py",
    "analysis/report/test_report.py",
    "commands/test_overview.py",
    "faults/test_hosts.py",
    "docs/test_tutorial.py",
    "store/test_live_history.py",
    "faults/test_power_cut.py",
    "commands/test_user_modules.py",
    "launchers/test_search.py",
    "faults/test_disk.py",
    "commands/test_copied_commands.py",
    "faults/test_race.py",
    "worker/test_poisoned_process.py",
    "analysis/papers/test_until_decided.py",
)
"""Files with few tests that take from 20 s to three minutes (2 busy cores, 2026-11-30), longest first."""

TESTS = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the long files first, then those of the files with most tests; a file's own stay in order."""
    tests = Counter(item.path for item in items)
    ranks = {TESTS / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: (ranks.get(item.path, len(LONG)), -tests[item.path], str(item.path)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return three processes for two cores, since many tests wait: for a heartbeat, a deadline, another process.

    None, the number that pytest-xdist chooses, where its own variable is set.
    """
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else math.ceil(1.5 * (os.cpu_count() or 1))
