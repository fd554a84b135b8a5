"""Which trials train together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from irm_sweeps.trial import Trial

GPU_STACK = 16
"""Largest automatic stack on a GPU. If it does not fit in memory, the worker halves it."""


def form_stacks(trials: Iterable[Trial], limit: int | Literal["auto"], on_gpu: bool, workers: int) -> list[list[str]]:
    """Group trials of one `stack_key` into stacks, in the order of their first trials.

    `auto` is 1 on a CPU, where the workers share out the cores and large trials lose by stacking (tiny ones gain:
    docs/performance.md), and up to `GPU_STACK` on a GPU, but never so many that a worker stays idle.
    """
    groups: dict[str, list[str]] = {}
    for trial in trials:
        groups.setdefault(trial.stack_key, []).append(trial.id)
    total = sum(len(group) for group in groups.values())
    automatic = min(GPU_STACK, max(1, math.ceil(total / workers))) if on_gpu else 1
    size = automatic if limit == "auto" else limit
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]
