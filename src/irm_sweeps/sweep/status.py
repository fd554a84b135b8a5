"""How far a sweep is, from its files alone: the same answer on every node."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from irm_sweeps.errors import StoreError, one_line
from irm_sweeps.sweep import claims
from irm_sweeps.sweep.files import DamagedFile
from irm_sweeps.sweep.manifest import Manifest
from irm_sweeps.sweep.progress import duration, label
from irm_sweeps.sweep.result import seconds_each
from irm_sweeps.sweep.schema import STATUSES
from irm_sweeps.sweep.store import Store


@dataclass
class Running:
    """One trial in a living worker's hands. `rate` is in steps per second; None before the first heartbeat."""

    trial_id: str
    label: str
    where: str
    step: int
    steps: int


@dataclass
class SweepStatus:
    """A sweep at one moment.

    Attributes
    ----------
    counts
        Results by status.
    orphaned
        Trials whose worker died and that nobody has taken over yet; part of `to_do`.
    failures
        Last line of the error -> ids.
    jobs
        The sweep's SLURM jobs that are queued or running, in words; None where none were submitted.
    eta_seconds
        Time left at the present number of workers; None where there is nothing to tell it from.
    """

    name: str
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    running: list[Running] = field(default_factory=list)
    orphaned: int = 0
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    damaged: list[str] = field(default_factory=list)
    seconds_per_trial: float | None = None
    eta_seconds: float | None = None
    jobs: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Trials with a result of any status."""
        return sum(self.counts.values())

    @property
    def to_do(self) -> int:
        """Trials without a result that nobody is running."""
        return self.total - self.done - len(self.running)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "sweep": self.name,
            "total": self.total,
            **{status: self.counts[status] for status in STATUSES},
            "running": [entry.__dict__ for entry in self.running],
            "to_do": self.to_do,
            "orphaned": self.orphaned,
            "failures": dict(self.failures),
            "damaged": self.damaged,
            "seconds_per_trial": self.seconds_per_trial,
            "eta_seconds": self.eta_seconds,
            "jobs": self.jobs,
            "notes": self.notes,
        }

    def text(self) -> str:
        """Return what a person reads."""
        counts = ", ".join(f"{self.counts[s]} {s}" for s in STATUSES if self.counts[s])
        left = "" if self.eta_seconds is None else f"; about {duration(self.eta_seconds)} left"
        lines = [
            f"{self.name}: {self.done}/{self.total} done ({counts or 'none'}), "
            f"{len(self.running)} running, {self.to_do} to do{left}"
        ]
        for entry in self.running:
            lines.append(
                f"  running  {entry.trial_id}  {entry.label}  step {entry.step}/{entry.steps}  on {entry.where}"
            )
        for message, ids in sorted(self.failures.items(), key=lambda item: -len(item[1])):
            lines.append(f"  failed   {len(ids)} x {message}  ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})")
        if self.orphaned:
            lines.append(f"  {self.orphaned} trials lost their worker; the next worker goes on with them")
        lines += [f"  damaged  {damage}" for damage in self.damaged]
        lines += [f"  note     {note}" for note in self.notes]
        if self.jobs is not None:
            lines.append(f"  SLURM    {self.jobs}")
        if self.to_do and not self.running and self.jobs is None:
            lines.append("  nothing is running: issue the sweep's command again, or irm-sweeps work " + self.name)
        return "\n".join(lines)


def sweep_status(store: Store, manifest: Manifest) -> SweepStatus:
    """Look at every trial of the sweep."""
    status = SweepStatus(manifest.name, len(manifest.trials))
    seconds = []
    for trial_id, config in manifest.trials.items():
        try:
            result = store.result(trial_id)
            claim = None if result else claims.current(store, trial_id)
            in_force = claim is not None and claim.is_in_force()
            if not result and not in_force:
                result = store.result(trial_id)  # it may have been finished between the two looks
        except (DamagedFile, StoreError) as damage:
            status.damaged.append(str(damage))
            continue
        if result is not None:
            status.counts[result["status"]] += 1
            if result["status"] == "failed":
                message = result["error"].get("message", "").strip().splitlines()
                status.failures[one_line(message[-1]) if message else "no message"].append(trial_id)
            elif (own := seconds_each(result)) is not None:
                seconds.append(own)
            continue
        if claim is None or claim.released:
            continue
        if in_force:
            where = claim.holder.host + (f" job {claim.holder.job}" if claim.holder.job else "")
            status.running.append(Running(trial_id, label(config), where, claim.step, claim.steps))
        else:
            status.orphaned += 1
    _estimate(status, seconds)
    return status


def _estimate(status: SweepStatus, seconds: Sequence[float]) -> None:
    if not seconds:
        return
    status.seconds_per_trial = statistics.fmean(seconds)
    left = status.to_do + sum(1 - r.step / r.steps for r in status.running if r.steps)
    workers = max(1, len({r.where + r.trial_id for r in status.running}))
    status.eta_seconds = left * status.seconds_per_trial / workers if status.running else None
