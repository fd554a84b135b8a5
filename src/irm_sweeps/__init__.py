"""Experiment sweeps for invariant-learning research: from one command to the paper's table."""

__version__ = "0.1.0"
