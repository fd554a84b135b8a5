"""What the live page shows of a sweep, read from the files of its store again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis.report.curve_svg import Chart, charts
from irm_sweeps.commands.live_tables import LiveTables
from irm_sweeps.commands.sweep_status import (
    SweepStatus,
    TrialProgress,
    add_jobs,
    lost_their_worker,
    most_first,
    sweep_status,
)
from irm_sweeps.errors import one_line, printable
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store.growing_history import GrowingHistory
from irm_sweeps.store.history import latest_step
from irm_sweeps.store.layout import LOG
from irm_sweeps.store.liveness import only_reading
from irm_sweeps.store.manifest import Manifest, is_copy, load_manifest
from irm_sweeps.store.sweeps import sweep_names
from irm_sweeps.store.trial_log import tail
from irm_sweeps.store.watched_store import WatchedStore
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import count, duration

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.tables.table import Table

JOBS_SECONDS = 60.0
"""Least time between two questions to SLURM."""
MOST_RUNNING = 12
"""Most running trials whose curves are shown; the others are counted."""
MOST_NAMED = 5
"""Most trials that are named of those which were lost for one reason."""


@dataclass(frozen=True)
class WatchedTrial:
    """A trial that is being trained: how far it is, its curves, the end of its log.

    Attributes
    ----------
    problem
        Why its curves cannot be shown; empty if they can.
    """

    running: TrialProgress
    charts: Sequence[Chart]
    log: str
    problem: str = ""

    @property
    def remark(self) -> str:
        """What is wrong with its progress; empty if nothing is."""
        if self.running.doubtful:
            return "no heartbeat of late: it may have died"
        since = self.running.seconds_since_step
        return f"stalled: no step for {duration(since)}" if self.running.stalled and since is not None else ""


@dataclass(frozen=True)
class LostTrials:
    """Trials that failed or diverged for one reason, or workers that ended early for one.

    Attributes
    ----------
    names
        Some of them, each with the command that shows it, or without one.
    details
        The traceback of the first, or where the log is; empty without any.
    """

    title: str
    names: Sequence[tuple[str, str]] = ()
    more: int = 0
    details: str = ""


@dataclass(frozen=True)
class LiveSweep:
    """A sweep at one moment.

    Attributes
    ----------
    papers
        The tables so far of the papers that it is of.
    table
        The measured settings so far; None before the first result.
    hidden
        Number of running trials besides those in `running`.
    remarks
        What else there is to say, a line each.
    """

    manifest: Manifest
    status: SweepStatus
    running: Sequence[WatchedTrial]
    hidden: int
    losses: Sequence[LostTrials]
    papers: Sequence[Table]
    table: Table | None
    remarks: Sequence[str]


@dataclass
class Watch:
    """Reads a sweep of a store again and again, and what is as it was only once.

    Attributes
    ----------
    sweep
        Name of the sweep; None: the one that was launched last, which may change.
    seconds_once
        Time spent so far on what is done once for a sweep.
    """

    store: WatchedStore
    sweep: str | None
    seconds_once: float = 0.0
    _manifest: tuple[object, Manifest] | None = None
    _table: tuple[object, Table] | None = None
    _papers: tuple[object, LiveTables] | None = None
    _histories: dict[str, GrowingHistory] = field(default_factory=dict)
    _jobs: tuple[str, float, SweepStatus] | None = None

    def look(self) -> LiveSweep | None:
        """Return the sweep as it is now; None where none was launched.

        Raises
        ------
        UserError
            The manifest is damaged or may not be read.
        """
        name = self.sweep or next(
            (own for own in reversed(sweep_names(self.store)) if not is_copy(self.store, own)), None
        )
        if name is None:
            return None
        manifest = self._read_manifest(name)
        with only_reading():
            status = sweep_status(self.store, manifest)
        if status.done < status.total and not status.running:
            self._add_jobs(status, manifest)
        papers, problems = self._paper_tables(manifest) if status.done else ([], [])
        shown = status.running[:MOST_RUNNING]
        self._histories = {one.trial_id: self._history(one.trial_id) for one in shown}
        return LiveSweep(
            manifest=manifest,
            status=status,
            running=[self._running(one) for one in shown],
            hidden=len(status.running) - len(shown),
            losses=list(self._losses(status, manifest)),
            papers=papers,
            table=self._tabulated(manifest) if status.done else None,
            remarks=[*_remarks(status), *problems],
        )

    def _read_manifest(self, name: str) -> Manifest:
        """Return the sweep's manifest, which is read again when its file is another one."""
        file = os.stat(self.store.root / "sweeps" / name / "manifest.json")
        identity = (name, file.st_ino, file.st_size, file.st_mtime_ns)
        if self._manifest is None or self._manifest[0] != identity:
            self._manifest = (identity, load_manifest(self.store, name))
        return self._manifest[1]

    def _add_jobs(self, status: SweepStatus, manifest: Manifest) -> None:
        """Add the SLURM jobs, as SLURM knew them at most `JOBS_SECONDS` ago."""
        now = time.monotonic()
        if self._jobs is None or self._jobs[0] != manifest.launch or now - self._jobs[1] > JOBS_SECONDS:
            asked = SweepStatus(status.results, status.name, status.total)
            add_jobs(self.store, [(asked, manifest)])
            self._jobs = (manifest.launch, now, asked)
        asked = self._jobs[2]
        status.jobs, status.jobs_unknown, status.notes = asked.jobs, asked.jobs_unknown, asked.notes

    def _history(self, trial_id: str) -> GrowingHistory:
        return self._histories.get(trial_id) or GrowingHistory(self.store, trial_id)

    def _running(self, running: TrialProgress) -> WatchedTrial:
        log = printable(tail(self.store.folder(running.trial_id) / LOG))
        try:
            rows = self._histories[running.trial_id].rows()
        except DamagedFile as damage:
            return WatchedTrial(running, [], log, str(damage))
        return WatchedTrial(replace(running, step=latest_step(running.step, rows)), charts(rows), log)

    def _losses(self, status: SweepStatus, manifest: Manifest) -> Iterator[LostTrials]:
        for message, ids in most_first(status.failures):
            yield self._loss(f"{count(len(ids), 'trial')} failed: {message}", ids, manifest)
        if diverged := [trial_id for ids in status.diverged.values() for trial_id in ids]:
            title = f"{count(len(diverged), 'trial')} diverged: the objective was not finite"
            yield self._loss(title, diverged, manifest)
        for message, logs in most_first(status.ended):
            title = f"{count(len(logs), 'worker')} ended early: {message}"
            yield LostTrials(title, [(log, "") for log in logs[:MOST_NAMED]], max(0, len(logs) - MOST_NAMED))

    def _loss(self, title: str, ids: Sequence[str], manifest: Manifest) -> LostTrials:
        named = [
            (one_line(manifest.label_of(trial_id)), looking("show", trial_id, results=self.store.root))
            for trial_id in ids[:MOST_NAMED]
        ]
        result = self.store.result(ids[0])
        details = result.error.details if result is not None and result.error is not None else ""
        return LostTrials(one_line(title, at_most=1000), named, len(ids) - len(named), printable(details.strip()))

    def _paper_tables(self, manifest: Manifest) -> tuple[Sequence[Table], Sequence[str]]:
        """Return the tables so far of the papers that the sweep is of, and why others are not shown."""
        seen = (manifest.name, manifest.launch)
        began = time.monotonic()
        if self._papers is None or self._papers[0] != seen:
            self._papers = (seen, LiveTables(manifest, self._results()))
        papers = self._papers[1]
        papers.compose_next()
        self.seconds_once += time.monotonic() - began
        return papers.tables(), papers.problems

    def _results(self) -> Results:
        """Return the results of the store, which parses only those that are new."""
        from irm_sweeps.analysis.readings import Results

        results = Results([self.store.root])
        results.readers = [self.store]
        return results

    def _tabulated(self, manifest: Manifest) -> Table:
        """Return the table of the results so far, which is made again when there are others."""
        from irm_sweeps.analysis.sweeps.environment_groups import Datasets
        from irm_sweeps.analysis.sweeps.formats import as_table
        from irm_sweeps.analysis.sweeps.table import sweep_table
        from irm_sweeps.analysis.sweeps.trials import of_manifest

        seen = (manifest.name, manifest.launch, self.store.changes)
        if self._table is None or self._table[0] != seen:
            table = sweep_table(of_manifest(manifest), self._results(), "last", Datasets(trusted=False))
            self._table = (seen, as_table(table))
        return self._table[1]


def _remarks(status: SweepStatus) -> Iterator[str]:
    if status.orphaned:
        yield f"{lost_their_worker(status.orphaned)}."
    if status.jobs is not None:
        yield f"SLURM: {status.jobs}."
    yield from (f"Damaged: {damage}" for damage in status.damaged)
    yield from (f"Not known: {reason}" for reason in status.unknown)
    yield from (f"Note: {note}" for note in status.notes)
