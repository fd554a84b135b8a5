"""Fixtures of the tests of figures."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _quick(composed_once):
    """Compose each config once a module."""


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path
