"""The trials that are being trained while the report is written, as their claims and histories say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irm_sweeps.analysis.report.curve_svg import Chart, charts
from irm_sweeps.analysis.running import RunningTrial, running_trials
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store.history import HistoryRow, latest_step
from irm_sweeps.typed_commands import looking

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.store.manifest import Manifest

MOST_DRAWN = 12
"""Most running trials whose curves are drawn; the others are only named."""


@dataclass(frozen=True)
class RunningEntry:
    """A trial that a living worker trains.

    Attributes
    ----------
    watch
        The command that shows its sweep while it runs.
    """

    trial_id: str
    name: str
    step: int
    steps: int
    host: str
    watch: str
    charts: Sequence[Chart] = ()


def running(results: Results, only: Manifest | None) -> list[RunningEntry]:
    """Return the running trials of the results' stores, or of one sweep; archives have none."""
    open_trials = running_trials(results.readers, None if only is None else only.trials)
    found = [one for one in open_trials if results.of(one.trial_id) is None]
    return [_entry(one, only or one.manifest, drawn=i < MOST_DRAWN) for i, one in enumerate(found)]


def _entry(trial: RunningTrial, manifest: Manifest | None, *, drawn: bool) -> RunningEntry:
    sweep = ["--sweep", manifest.name] if manifest else []
    rows = _rows(trial) if drawn else []
    return RunningEntry(
        trial.trial_id,
        manifest.label_of(trial.trial_id) if manifest else trial.trial_id,
        latest_step(trial.claim.step, rows),
        trial.claim.steps,
        trial.claim.holder.host,
        looking("watch", *sweep, results=trial.store.root),
        charts(rows),
    )


def _rows(trial: RunningTrial) -> Sequence[HistoryRow]:
    """Return the trial's history; nothing of one that cannot be read, of which its result will tell."""
    try:
        return trial.store.history(trial.trial_id) or []
    except DamagedFile:
        return []
