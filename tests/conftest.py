"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import synthetic_store
from irm_sweeps.sweep.paper import Paper, load_paper
from irm_sweeps.testing.fixtures import make_trial, make_trial_of, training

__all__ = ["make_trial", "make_trial_of", "training"]


@pytest.fixture(scope="module")
def composed_once() -> Iterator[None]:
    """In a module that asks for it, Hydra composes each config once."""
    with synthetic_store.composed_once():
        yield


@pytest.fixture(scope="module")
def demo(composed_once: None) -> Paper:
    return load_paper("demo")


@pytest.fixture(scope="module")
def bae(composed_once: None) -> Paper:
    return load_paper("bae2021_table1")
