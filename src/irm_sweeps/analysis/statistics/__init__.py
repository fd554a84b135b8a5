"""Intervals, tests and verdicts: pure functions of numbers."""
