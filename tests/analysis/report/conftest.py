"""Fixtures of the tests of the report: a page, written once, of a store that says hostile things."""

from __future__ import annotations

from pathlib import Path

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis import report_command as report
from report_page import Outline, fill


@pytest.fixture(autouse=True)
def _quick(composed_once: None) -> None:
    """Compose each config once a module."""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with synthetic.composed_once():
        return fill(tmp_path_factory.mktemp("store") / "results")


@pytest.fixture(scope="session")
def written(store: Path) -> Path:
    with synthetic.composed_once():
        report.main(["--results", str(store)])
    return store / "report.html"


@pytest.fixture(scope="session")
def text(written: Path) -> str:
    return written.read_text()


@pytest.fixture(scope="session")
def outline(text: str) -> Outline:
    return Outline(text)
