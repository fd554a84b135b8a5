"""How good an environment's scores are, in one number: what selection rules compare."""

from __future__ import annotations

import math
from collections.abc import Mapping


def merit(scores: Mapping[str, float | None]) -> float:
    """Return an environment's accuracy, or in a regression minus its risk; the worst there is if not finite."""
    if "accuracy" in scores:
        return scores["accuracy"] or 0.0
    risk = scores.get("risk")
    return -math.inf if risk is None else -risk
