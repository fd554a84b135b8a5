"""What the tests of tables have in common: arguments, made-up accuracies, and a CSV read back."""

from __future__ import annotations

import csv
import io

BAE = ["--paper", "bae2021", "--table", "1"]
FEW = "seed=range(0,4)"


def records(text: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(text))}


def by_seed(trial, environment):
    """Different in every seed and environment."""
    return 0.7 + 0.01 * float(environment) + 0.003 * (trial.seed * 7 % 10)
