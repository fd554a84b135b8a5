"""The objective: the one number of a result that a searching sweeper maximises."""

from __future__ import annotations

import math
import re

from irm_sweeps.errors import UserError
from irm_sweeps.store.result import Result

_GRAMMAR = "write auto or RULE:SPLIT/ENVIRONMENT/METRIC, e.g. last:test/0.9/accuracy"


def check_objective(wanted: str) -> None:
    """Check that `wanted` is `auto` or `RULE:SPLIT/ENVIRONMENT/METRIC`.

    Raises
    ------
    UserError
        It is neither.
    """
    if wanted != "auto" and not re.fullmatch(r"\w+:\w+/[^/]+/\w+", wanted):
        raise UserError(f"objective={wanted}: {_GRAMMAR}")


def objective(result: Result, wanted: str, *, regression: bool = False) -> float:
    """Return `wanted` of a result: `auto`, or `RULE:SPLIT/ENVIRONMENT/METRIC`.

    ENVIRONMENT may be `mean` or `min` over the split's environments. `auto` looks at training environments
    only: mean accuracy on their held-out images (`val:val/mean/accuracy`), or without any on the training
    images; of a regression, which has no accuracy, minus the mean risk there. A trial that diverged has the worst
    value there is, accuracy 0 or an infinite risk: nan, which says as much, is what searching sweepers stop at.

    Raises
    ------
    UserError
        The result has no such number.
    """
    if wanted == "auto" and regression:
        held_out = "val" in result.metrics
        return -objective(result, "val:val/mean/risk" if held_out else "last:train/mean/risk")
    worst = math.inf if wanted.endswith("/risk") else 0.0
    if not result.metrics:
        return worst
    if wanted == "auto":
        wanted = "val:val/mean/accuracy" if "val" in result.metrics else "last:train/mean/accuracy"
    try:
        rule, _, path = wanted.partition(":")
        split, environment, metric = path.split("/")
        of = None if environment in ("mean", "min") else environment
        values = result.metrics[rule].values(split, metric, of)
    except (KeyError, ValueError):
        rules = ", ".join(result.metrics)
        raise UserError(f"objective={wanted}: the result has no such number (rules: {rules}); {_GRAMMAR}") from None
    numbers = [worst if value is None else float(value) for value in values]
    return min(numbers) if environment == "min" else sum(numbers) / len(numbers)
