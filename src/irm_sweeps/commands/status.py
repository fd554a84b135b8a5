"""How far a sweep is, from its files alone: the same answer on every node."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.files.atomic import DamagedFile, UnreadableFile
from irm_sweeps.launchers.slurm_jobs import JobRecord, SlurmError, in_words, living
from irm_sweeps.launchers.worker_logs import last_words
from irm_sweeps.store import claims
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.schema import STATUSES
from irm_sweeps.store.store import Store
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import count, duration, label


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
    results
        The store.
    counts
        Results by status.
    orphaned
        Trials whose worker died and that nobody has taken over yet; part of `to_do`.
    unknown
        Why nobody can tell of a trial whether it is done or running: a line for each, which may not be read, say.
    failures
        Last line of the error -> ids.
    ended
        Last words of workers that ended before the sweep was done -> their logs.
    jobs
        The sweep's SLURM jobs that are queued or running, in words; None where none are known.
    jobs_unknown
        Whether there may be others: SLURM does not answer, or not all that were submitted are on record.
    eta_seconds
        Time left at the present number of workers; None where there is nothing to tell it from.
    """

    results: Path
    name: str
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    running: list[Running] = field(default_factory=list)
    orphaned: int = 0
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[str, list[str]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    seconds_per_trial: float | None = None
    eta_seconds: float | None = None
    jobs: str | None = None
    jobs_unknown: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Trials with a result of any status."""
        return sum(self.counts.values())

    @property
    def to_do(self) -> int:
        """Trials without a result that nobody is running."""
        return self.total - self.done - len(self.running) - len(self.unknown)

    @property
    def state(self) -> str:
        """`done`, `running`, `queued` (as SLURM jobs), `unknown`, or `stopped`: trials are open and nobody is at it."""
        if self.done == self.total:
            return "done"
        if self.running:
            return "running"
        if self.jobs is not None:
            return "queued"
        return "unknown" if self.unknown or self.jobs_unknown else "stopped"

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "sweep": self.name,
            "state": self.state,
            "total": self.total,
            **{status: self.counts[status] for status in STATUSES},
            "running": [entry.__dict__ for entry in self.running],
            "to_do": self.to_do,
            "orphaned": self.orphaned,
            "failures": dict(self.failures),
            "ended": self.ended,
            "damaged": self.damaged,
            "unknown": self.unknown,
            "seconds_per_trial": self.seconds_per_trial,
            "eta_seconds": self.eta_seconds,
            "jobs": self.jobs,
            "notes": self.notes,
        }

    def text(self) -> str:
        """Return what a person reads."""
        counts = ", ".join(f"{self.counts[s]} {s}" for s in STATUSES if self.counts[s])
        unknown = f", {len(self.unknown)} unknown" if self.unknown else ""
        left = "" if self.eta_seconds is None else f"; about {duration(self.eta_seconds)} left"
        lines = [
            f"{self.name}: {self.done}/{self.total} done ({counts or 'none'}), "
            f"{len(self.running)} running, {self.to_do} to do{unknown}{left}"
        ]
        for entry in self.running:
            lines.append(
                f"  running  {entry.trial_id}  {entry.label}  step {entry.step}/{entry.steps}  on {entry.where}"
            )
        for message, ids in most_first(self.failures):
            lines.append(f"  failed   {len(ids)} x {message}  ({first(ids, 3)})")
        for message, logs in most_first(self.ended):
            lines.append(f"  ended    {count(len(logs), 'worker')}: {message}  ({first(logs, 1)})")
        if self.orphaned:
            lines.append(f"  {self.orphaned} trials lost their worker; the next worker goes on with them")
        lines += [f"  damaged  {damage}" for damage in self.damaged]
        lines += [f"  unknown  {reason}" for reason in self.unknown]
        lines += [f"  note     {note}" for note in self.notes]
        if self.jobs is not None:
            lines.append(f"  SLURM    {self.jobs}")
        if self.state == "unknown":
            lines.append("  whether anything is running cannot be told")
        elif self.state == "stopped":
            work = looking("work", self.name, results=self.results)
            lines.append(f"  nothing is running: issue the sweep's command again, or {work}")
        return "\n".join(lines)


def most_first(groups: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    """Return groups by size, the largest first."""
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def first(names: Sequence[str], n: int) -> str:
    """Return the first n names, and dots where there are more."""
    return ", ".join([*names[:n], *(["..."] if len(names) > n else [])])


def sweep_status(store: Store, manifest: Manifest) -> SweepStatus:
    """Look at every trial of the sweep."""
    status = SweepStatus(store.root, manifest.name, len(manifest.trials))
    seconds = []
    at_work = set()
    for trial_id, config in manifest.trials.items():
        try:
            result = store.result(trial_id)
            claim = None if result else claims.current(store, trial_id)
            in_force = claim is not None and claim.is_in_force()
            if not result and not in_force:
                result = store.result(trial_id)  # it may have been finished between the two looks
        except UnreadableFile as error:
            status.unknown.append(error.told())
            continue
        except StoreError as error:
            status.unknown.append(str(error))
            continue
        except DamagedFile as damage:
            status.damaged.append(str(damage))
            continue
        if result is not None:
            status.counts[result.status] += 1
            if result.error is not None:
                status.failures[result.error.last_line].append(trial_id)
            elif result.seconds is not None:
                seconds.append(result.seconds)
            continue
        if claim is None or claim.released:
            continue
        if in_force:
            at_work.add(claim.holder)
            where = claim.holder.host + (f" job {claim.holder.job}" if claim.holder.job else "")
            status.running.append(Running(trial_id, label(config), where, claim.step, claim.steps))
        else:
            status.orphaned += 1
    if status.done < status.total:
        status.ended = last_words(store, manifest, at_work)
    _estimate(status, seconds)
    return status


def _estimate(status: SweepStatus, seconds: Sequence[float]) -> None:
    if not seconds:
        return
    status.seconds_per_trial = statistics.fmean(seconds)
    left = status.to_do + sum(1 - r.step / r.steps for r in status.running if r.steps)
    workers = max(1, len({r.where + r.trial_id for r in status.running}))
    status.eta_seconds = left * status.seconds_per_trial / workers if status.running else None


def add_jobs(store: Store, sweeps: Sequence[tuple[SweepStatus, Manifest]]) -> None:
    """Add to each sweep's status what SLURM, asked once for all of them, says of its jobs."""
    ids: dict[str, list[str]] = {}
    for status, manifest in sweeps:
        record = JobRecord(store, manifest)
        ids[manifest.name] = record.ids()
        if record.cut_short():
            status.jobs_unknown = True
            status.notes.append(
                "some SLURM jobs are not on record: a submission is under way or was cut short, or "
                f"{record.path} cannot be read; the next launch, or cancel, finds them"
            )
    try:
        found = living([job for own in ids.values() for job in own])
    except SlurmError as error:
        for status, manifest in sweeps:
            if ids[manifest.name]:
                status.jobs_unknown = True
                status.notes.append(f"which SLURM jobs are left is unknown: {error}")
        return
    for status, manifest in sweeps:
        if jobs := {job: found[job] for job in ids[manifest.name] if job in found}:
            status.jobs = in_words(jobs)
