"""`irm-sweeps show`: a trial's result as a person reads it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from irm_sweeps.commands.arguments import Commands, add_store_command, add_trial_id, open_store
from irm_sweeps.errors import UserError, printable
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import label


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    parser = add_store_command(commands, "show", "Print one trial's result.")
    add_trial_id(parser)
    parser.add_argument("--json", action="store_true", help="the whole result file")


def run(options: argparse.Namespace) -> None:
    """Print the trial's scores, or its whole result as JSON."""
    store = open_store(options)
    trial_id = store.find(options.id)
    try:
        result = store.result(trial_id)
    except DamagedFile as damage:
        raise UserError(damage.told()) from None
    if result is None:
        status, logs = (looking(*words, results=store.root) for words in (("status",), ("logs", trial_id)))
        raise UserError(f"trial {trial_id} has no result yet: see {status}, or {logs}")
    print(json.dumps(result, indent=1) if options.json else printable(scores_table(result)))


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
