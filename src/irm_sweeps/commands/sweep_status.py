"""The status of a sweep, computed from the files of its store: the same on every node."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irm_sweeps.analysis.text_grid import flowed
from irm_sweeps.errors import StoreError
from irm_sweeps.files.reading import DamagedFile, UnreadableFile
from irm_sweeps.launchers.slurm_jobs import JobRecord, Whereabouts, in_words, listed
from irm_sweeps.launchers.worker_logs import complaints_of_ended_workers
from irm_sweeps.process_state.garbage import collector_paused
from irm_sweeps.slurm import JobState, JobsUnknownError, SlurmError
from irm_sweeps.store import claims
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.schema import STATUSES
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.forecast import Forecast
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import count, duration, first
from irm_sweeps.worker.registry import living

STALLED_SECONDS = 600.0
"""A trial is called stalled after this time without a step, and after `STALLED_STEPS` times its longest step so far."""
STALLED_STEPS = 20
"""Where the sweep has `stall_seconds`, a trial is called stalled after that time, and neither of the two counts."""


@dataclass
class TrialProgress:
    """One trial that a living worker trains; `step` is that of its last heartbeat.

    Attributes
    ----------
    seconds_since_step
        Seconds since its last step, or since its training began; None where its claim does not tell.
    stalled
        Whether that is longer than training should take for a step.
    doubtful
        Whether the worker is out of sight and has missed heartbeats, so that it may have died.
    """

    trial_id: str
    label: str
    where: str
    step: int
    steps: int
    seconds_since_step: float | None = None
    stalled: bool = False
    doubtful: bool = False

    def lines(self, width: int | None = None) -> list[str]:
        """Return the lines to print: one, or those that fit the width."""
        return flowed(list(self._pieces()), width, first="  running  ", further=" " * 11)

    def _pieces(self) -> Iterator[str]:
        yield from (self.trial_id, self.label, f"step {self.step}/{self.steps}", f"on {self.where}")
        if self.doubtful:
            yield "(no heartbeat of late: it may have died)"
        elif self.seconds_since_step is not None:
            since = duration(self.seconds_since_step)
            yield f"last step {since} ago" if self.step else f"last step none in {since}"
            if self.stalled:
                yield "stalled"


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
        Number of trials whose worker died and that no other has taken over yet; part of `to_do`.
    unknown
        A line for each trial of which it is not known whether it is done or running (its files may not be read, say):
        why.
    failures
        Last line of the error -> ids of the trials.
    diverged
        Short name, and where the objective was first not finite -> ids of the trials.
    ended
        Last words of workers that ended before the sweep was done -> their logs.
    jobs
        The sweep's SLURM jobs that are queued or running, in words; None where none are known.
    jobs_unknown
        Whether there may be others: SLURM does not answer, or not all that were submitted are on record.
    eta_seconds
        Time left with the present workers, in whole stacks; None where no trial is running, or nothing tells yet how
        long one takes.
    """

    results: Path
    name: str
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    running: list[TrialProgress] = field(default_factory=list)
    orphaned: int = 0
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    diverged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
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
        """`done`, `running`, `queued` (as SLURM jobs), `unknown`, or `stopped`: trials are open and no worker runs."""
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

    def text(self, width: int | None = None) -> str:
        """Return the lines to print; on a terminal of this width those of running trials fit it."""
        counts = ", ".join(f"{self.counts[s]} {s}" for s in STATUSES if self.counts[s])
        unknown = f", {len(self.unknown)} unknown" if self.unknown else ""
        time_left = "" if self.eta_seconds is None else f"; about {duration(self.eta_seconds)} left"
        lines = [
            f"{self.name}: {self.done}/{self.total} done ({counts or 'none'}), "
            f"{len(self.running)} running, {self.to_do} to do{unknown}{time_left}"
        ]
        lines += [line for entry in self.running for line in entry.lines(width)]
        for message, ids in most_first(self.failures):
            lines.append(f"  failed   {len(ids)} x {message}  ({first(ids, 3)})")
        for message, logs in most_first(self.ended):
            lines.append(f"  ended    {count(len(logs), 'worker')}: {message}  ({first(logs, 1)})")
        if self.orphaned:
            lines.append(f"  {lost_their_worker(self.orphaned)}")
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


def lost_their_worker(trials: int) -> str:
    """Return `2 trials lost their worker; the next worker goes on with them`."""
    its, them = ("its", "it") if trials == 1 else ("their", "them")
    return f"{count(trials, 'trial')} lost {its} worker; the next worker goes on with {them}"


def most_first(groups: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    """Return groups by size, the largest first."""
    return sorted(groups.items(), key=lambda item: -len(item[1]))


@collector_paused()
def sweep_status(store: Store, manifest: Manifest) -> SweepStatus:
    """Return the status of a sweep, from the result or the claim of each of its trials."""
    status = SweepStatus(store.root, manifest.name, len(manifest.trials))
    seconds = []
    forecast, running = Forecast(manifest), {}
    for trial_id in manifest.trials:
        try:
            result = store.result(trial_id)
            claim = None if result else claims.current(store, trial_id)
            in_force = claim is not None and claim.is_in_force()
            if not result and not in_force:
                result = store.result(trial_id)  # finished, perhaps, after the first read and before the claim was
        except UnreadableFile as error:
            status.unknown.append(error.told())
            forecast.open.discard(trial_id)
            continue
        except StoreError as error:
            status.unknown.append(str(error))
            forecast.open.discard(trial_id)
            continue
        except DamagedFile as damage:
            status.damaged.append(str(damage))
            continue
        if result is not None:
            status.counts[result.status] += 1
            forecast.add(result)
            if result.error is not None:
                status.failures[result.error.last_line].append(trial_id)
            elif result.seconds is not None:
                seconds.append(result.seconds)
            if result.status == "diverged":
                status.diverged[f"{manifest.label_of(trial_id)} {result.divergence}"].append(trial_id)
            continue
        if claim is None or claim.released:
            continue
        if in_force:
            running[trial_id] = claim
            name = manifest.label_of(trial_id)
            status.running.append(_running(claim, name, manifest.settings.stall_seconds))
        else:
            status.orphaned += 1
    status.seconds_per_trial = statistics.fmean(seconds) if seconds else None
    if status.done < status.total:
        holders = {claim.holder for claim in running.values()}
        status.ended = complaints_of_ended_workers(store, manifest, holders)
        if running:
            workers = holders.union(entry.process for entry in living(store, manifest, holders))
            status.eta_seconds = forecast.seconds_left(running, len(workers))
    return status


def _running(claim: Claim, name: str, stall_seconds: float | None) -> TrialProgress:
    """Return what a claim in force tells of its trial."""
    where = claim.holder.host + (f" job {claim.holder.job}" if claim.holder.job else "")
    running = TrialProgress(claim.path.parent.name, name, where, claim.step, claim.steps, doubtful=claim.is_doubtful())
    with suppress(OSError):  # finished or taken over meanwhile
        running.seconds_since_step = claim.seconds_since_step_now()
    if running.seconds_since_step is not None:
        limit = stall_seconds or max(STALLED_SECONDS, STALLED_STEPS * (claim.longest_step or 0.0))
        running.stalled = running.seconds_since_step > limit
    return running


def add_jobs(store: Store, sweeps: Sequence[tuple[SweepStatus, Manifest]]) -> None:
    """Add the SLURM jobs that are queued or running to each sweep's status; SLURM is asked once for all sweeps."""
    jobs: dict[str, Whereabouts] = {}
    for status, manifest in sweeps:
        record = JobRecord(store, manifest)
        jobs[manifest.name] = record.whereabouts()
        if record.cut_short():
            status.jobs_unknown = True
            status.notes.append(
                "some SLURM jobs are not on record: a submission is under way or was cut short, or "
                f"{record.path} cannot be read; the next launch, or cancel, finds them"
            )
    states: dict[str, JobState] = {}
    any_known, silence = True, None
    try:
        states = listed([job for own in jobs.values() for job in own.here])
    except JobsUnknownError:
        any_known = False
    except SlurmError as error:
        silence = str(error)
    for status, manifest in sweeps:
        own = jobs[manifest.name]
        own_states = {job: states[job] for job in own.here if job in states}
        doubt = silence if silence and own.here else own.doubt(own_states, any_known)
        if doubt:
            status.jobs_unknown = True
            status.notes.append(f"which SLURM jobs are left is unknown: {doubt}")
        if own_states:
            status.jobs = in_words(own_states)
