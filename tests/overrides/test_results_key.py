"""A launch's command line for another store."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from irm_sweeps.overrides.results_key import into_store, results_override


@pytest.mark.parametrize(
    ("typed", "root", "expected"),
    [
        ("irm-sweeps launch -m lam=1,2", "moved", "irm-sweeps launch -m lam=1,2 results=moved"),
        ("irm-sweeps launch -m results=old 'seed=range(0,2)'", "m", "irm-sweeps launch -m results=m 'seed=range(0,2)'"),
        ("irm-sweeps launch -m 'x=a  b'", "m", "irm-sweeps launch -m 'x=a  b' results=m"),
        ("python launch.py -m results=a lam=1", "/b/c", "python launch.py -m results=/b/c lam=1"),
        ("IRM_SWEEPS_CONF='c d' irm-sweeps launch", "m", "IRM_SWEEPS_CONF='c d' irm-sweeps launch results=m"),
        ("""irm-sweeps launch "results='old, 1'" """, "m", "irm-sweeps launch results=m"),
    ],
)
def test_a_command_fills_the_store_that_is_read(typed: str, root: str, expected: str) -> None:
    assert into_store(typed, Path(root)) == expected
    assert into_store(expected, Path(root)) == expected


@pytest.mark.parametrize(
    ("typed", "root"),
    [
        ("irm-sweeps launch -m lam=1,2", "results"),
        ("""irm-sweeps launch -m "results='a, b'" """, "a, b"),
        ("irm-sweeps launch -m results=./here", "here"),
        ("python -c pass", "elsewhere"),
        ("irm-sweeps launch 'unended", "elsewhere"),
        ("", "elsewhere"),
    ],
)
def test_what_fills_it_already_or_is_no_launch_stays(typed: str, root: str) -> None:
    assert into_store(typed, Path(root)) == typed


def test_a_store_here_is_the_default_one_under_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = "irm-sweeps launch -m lam=1,2"
    assert into_store(typed, tmp_path / "results") == typed
    elsewhere = tmp_path / "a 'b', c" / "results"
    assert shlex.split(into_store(typed, elsewhere))[-1] == results_override(elsewhere)
