"""A result as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irm_sweeps.wording import label


def scores_table(result: Mapping[str, Any]) -> str:
    """Return status and, per split and environment, accuracy (per cent) and risk at the end of training."""
    lines = [f"trial {result['trial_id']}  {label(result['config'])}  {result['status']}" + _when(result)]
    if result["status"] == "failed":
        return "\n".join([*lines, *(result["error"].get(part, "").rstrip() for part in ("message", "details"))])
    for rule, chosen in result["metrics"].items():
        if rule != "last" and chosen == result["metrics"].get("last"):
            continue
        lines.append(f"{rule}, step {chosen['step']}" if rule != "last" else f"step {chosen['step']}")
        for split, environments in chosen["scores"].items():
            for name, scores in environments.items():
                measures = [f"{measure} {_written(measure, value)}" for measure, value in sorted(scores.items())]
                lines.append("  ".join([f"  {split:5s} {name:>6s}", *measures]))
    return "\n".join(lines)


def _written(measure: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:5.1f} %" if measure == "accuracy" else f"{value:.4f}"


def _when(result: Mapping[str, Any]) -> str:
    timing = result.get("timing", {})
    if result["status"] == "diverged":
        return f" at step {result.get('diverged_at', 'unknown')}"
    if timing.get("seconds") is None:
        return ""
    return f" in {timing['seconds']:.1f} s (stack of {timing.get('stack_size') or 1})"
