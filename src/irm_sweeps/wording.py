"""Wording that all output shares: a trial's short name, counts, durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def label(config: Mapping[str, Any]) -> str:
    """Return a trial's short readable name, e.g. `irmv1 lam=100 seed=3`."""
    method = str(config["method"].get("_target_", "?")).rpartition(".")[2]
    lam = "" if config.get("lam") is None else f" lam={config['lam']:g}"
    oracle = "".join(f" {name}" for name in ("grayscale", "oracle") if config["dataset"].get(name) is True)
    return f"{method}{oracle}{lam} seed={config['seed']}"


def count(n: int, what: str) -> str:
    """Return e.g. `1 stack`, `2 stacks`."""
    return f"{n} {what}{'s' * (n != 1)}"


def in_stacks(stacks: Sequence[Sequence[str]]) -> str:
    """Return e.g. `12 trials`, or `32 trials in 2 stacks` where some train together."""
    trials = sum(map(len, stacks))
    stacked = f" in {count(len(stacks), 'stack')}" if trials != len(stacks) else ""
    return f"{count(trials, 'trial')}{stacked}"


def duration(seconds: float) -> str:
    """Return `h:mm:ss` or `m:ss`."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
