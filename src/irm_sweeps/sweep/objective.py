"""The objective: the one number of a result that a searching sweeper maximises or, of a risk, minimises."""

from __future__ import annotations

import math
import re

from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.metric import MEASURES, is_lower_better
from irm_sweeps.training.rule_names import RULE_NAMES

_GRAMMAR = "write auto or RULE:SPLIT/ENVIRONMENT/METRIC, e.g. last:test/0.9/accuracy"


def check_objective(wanted: str) -> None:
    """Check that `wanted` is `auto`, or `RULE:SPLIT/ENVIRONMENT/METRIC` of a rule and a metric that there are.

    Raises
    ------
    UserError
        It is neither.
    """
    if wanted == "auto":
        return
    if not (match := re.fullmatch(r"(\w+):\w+/[^/]+/(\w+)", wanted)):
        raise UserError(f"objective={wanted}: {_GRAMMAR}")
    for typed, known, what in ((match[1], RULE_NAMES, "selection rule"), (match[2], MEASURES, "metric")):
        if typed not in known:
            meant = did_you_mean(typed, known, cutoff=0.7)
            raise UserError(f"objective={wanted}: no {what} {typed!r}{meant}; there are {', '.join(known)}")


def is_minimised(wanted: str) -> bool:
    """Return whether the objective is the better the smaller it is: a risk, a calibration error; `auto` is not."""
    return is_lower_better(wanted)


def objective(result: Result, wanted: str, *, regression: bool = False, minimise: bool | None = None) -> float:
    """Return `wanted` of a result: `auto`, or `RULE:SPLIT/ENVIRONMENT/METRIC`.

    ENVIRONMENT may be `mean` or `min` over the split's environments. `auto` looks at training environments
    only: mean accuracy on their held-out images (`val:val/mean/accuracy`), or without any on the training
    images; of a regression, which has no accuracy, minus the mean risk there. A trial that diverged, and a risk that is
    not finite, have the worst value there is, as a rule accuracy 0 or an infinite risk: nan, which says as much, is
    what searching sweepers stop at.

    Parameters
    ----------
    minimise
        Whether the search looks for the smallest value; None: for the best (`is_minimised`).

    Raises
    ------
    UserError
        The result has no such number.
    """
    minimise = is_minimised(wanted) if minimise is None else minimise
    if wanted == "auto" and regression:
        held_out = "val" in result.metrics
        return -objective(result, "val:val/mean/risk" if held_out else "last:train/mean/risk", minimise=not minimise)
    smallest, largest = (-math.inf, math.inf) if wanted.endswith("/risk") else (0.0, 1.0)
    worst = largest if minimise else smallest
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
