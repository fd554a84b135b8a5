"""A result as a person reads it."""

from __future__ import annotations

from irm_sweeps.store.result import Result


def scores_table(result: Result) -> str:
    """Return status and, per split and environment, accuracy (per cent) and risk at the end of training."""
    lines = [f"trial {result.trial_id}  {result.label}  {result.status}{_when(result)}"]
    if result.error is not None:
        return "\n".join([*lines, result.error.message.rstrip(), result.error.details.rstrip()])
    for rule, evaluation in result.metrics.items():
        if rule != "last" and evaluation == result.metrics.get("last"):
            continue
        lines.append(f"{rule}, step {evaluation.step}" if rule != "last" else f"step {evaluation.step}")
        for split, environment, scores in evaluation.environments():
            measures = [f"{measure} {_written(measure, value)}" for measure, value in sorted(scores.measures.items())]
            lines.append("  ".join([f"  {split:5s} {environment:>6s}", *measures]))
    return "\n".join(lines)


def _written(measure: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:5.1f} %" if measure == "accuracy" else f"{value:.4f}"


def _when(result: Result) -> str:
    if result.status == "diverged":
        return f" {result.divergence}"
    if result.timing.seconds is None:
        return ""
    return f" in {result.timing.seconds:.1f} s (stack of {result.stack_size})"
