"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import synthetic_store
from commands import Desk
from irm_sweeps.sweep.paper import Paper, load_paper
from irm_sweeps.testing.fixtures import make_trial, make_trial_of, training

__all__ = ["make_trial", "make_trial_of", "training"]


@pytest.fixture(scope="module")
def composed_once() -> Iterator[None]:
    """In a module that asks for it, Hydra composes each config once."""
    with synthetic_store.composed_once():
        yield


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A store, and commands at work on it in processes of their own, all ended with the test."""
    made = Desk(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def demo(composed_once: None) -> Paper:
    return load_paper("demo")


@pytest.fixture(scope="module")
def bae(composed_once: None) -> Paper:
    return load_paper("bae2021_table1")
