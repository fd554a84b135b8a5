"""`irm-sweeps show`: a trial's result as a person reads it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from irm_sweeps.commands.arguments import Commands, add_store_command, add_trial_id, open_results
from irm_sweeps.errors import UserError, one_line, printable
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.typed_commands import looking

if TYPE_CHECKING:
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.result import Result


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    parser = add_store_command(commands, "show", "Print one trial's result.", archives=True)
    add_trial_id(parser)
    parser.add_argument("--json", action="store_true", help="the whole result file")


def run(options: argparse.Namespace) -> None:
    """Print the trial's scores and its config, or its whole result as JSON."""
    store = open_results(options)
    trial_id = store.find(options.id)
    try:
        result = store.result(trial_id)
    except DamagedFile as damage:
        raise UserError(damage.told()) from None
    if result is None:
        status, logs = (looking(*words, results=store.root) for words in (("status",), ("logs", trial_id)))
        raise UserError(f"trial {trial_id} has no result yet: see {status}, or {logs}")
    if options.json:
        print(json.dumps(result.raw, indent=1))
    else:
        from irm_sweeps.commands.shown_config import config_lines

        print(printable(scores_table(result, _label_in_sweep(store, result))))
        print("\n".join(config_lines(result.config)))
        if origin := store.origin(trial_id):
            print(f"unpacked from {one_line(origin.archive)} (sha256 {origin.archive_sha256[:12]}), not trained here")


def _label_in_sweep(store: Reader, result: Result) -> str:
    """Return the trial's name in the sweep of several trials that was launched last with it; else its short name."""
    from irm_sweeps.store.manifest import load_manifest
    from irm_sweeps.store.sweeps import sweep_names

    try:
        names = sweep_names(store)
    except UserError:
        names = []
    for name in reversed(names):
        try:
            manifest = load_manifest(store, name)
        except UserError:
            continue
        if result.trial_id in manifest.trials and len(manifest.trials) > 1:
            return one_line(manifest.label_of(result.trial_id))
    return result.label


def scores_table(result: Result, label: str | None = None) -> str:
    """Return status and, per split and environment, accuracy (per cent) and risk at the end of training.

    The calibration error is in the whole file (`--json`) and in tables that ask for it.
    """
    lines = [f"trial {result.trial_id}  {label or result.label}  {result.status}{_when(result)}"]
    if result.error is not None:
        return "\n".join([*lines, result.error.message.rstrip(), result.error.details.rstrip()])
    for rule, evaluation in result.metrics.items():
        if rule != "last" and evaluation == result.metrics.get("last"):
            continue
        lines.append(f"{rule}, step {evaluation.step}" if rule != "last" else f"step {evaluation.step}")
        for split, environment, scores in evaluation.environments():
            shown = sorted((measure, value) for measure, value in scores.measures.items() if measure != "ece")
            measures = [f"{measure} {_written(measure, value)}" for measure, value in shown]
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
