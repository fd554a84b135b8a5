"""Shared code of the tests of tables: arguments, made-up accuracies, and reading a CSV."""

from __future__ import annotations

import csv
import io

BAE = ["--paper", "bae2021", "--table", "1"]
FEW = "seed=range(0,4)"


def records(text: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(text))}


def by_seed(trial, environment):
    """Return an accuracy that differs between seeds and between environments."""
    return 0.7 + 0.01 * float(environment) + 0.003 * (trial.seed * 7 % 10)
