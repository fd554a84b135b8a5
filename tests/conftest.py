"""Fixtures that every test may use."""

from __future__ import annotations

from irm_sweeps.testing.fixtures import make_trial, make_trial_of, training

__all__ = ["make_trial", "make_trial_of", "training"]
