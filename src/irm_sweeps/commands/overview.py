"""Every sweep of a store, a line each: `irm-sweeps status --all`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.analysis.text_grid import padded, span
from irm_sweeps.commands.sweep_status import SweepStatus, most_first, sweep_status
from irm_sweeps.errors import StoreError, UserError, one_line, printable
from irm_sweeps.store.manifest import Manifest, load_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names
from irm_sweeps.wording import count, first

HEADER = ("sweep", "launched (UTC)", "done", "failed", "open", "state", "command")


@dataclass(frozen=True)
class SweepOverview:
    """One sweep.

    Attributes
    ----------
    problem
        Why its manifest cannot be read; nothing else is known of the sweep then.
    damaged
        Whether the manifest's content is wrong, rather than its file unreadable.
    """

    name: str
    manifest: Manifest | None = None
    status: SweepStatus | None = None
    problem: str = ""
    damaged: bool = False

    @property
    def state(self) -> str:
        """Its `SweepStatus.state`; `damaged` or `unknown` where there is none."""
        if self.status is not None:
            return self.status.state
        return "damaged" if self.damaged else "unknown"

    @property
    def notes(self) -> list[str]:
        """Remarks to print below the table."""
        if self.status is None:
            return []
        unknown = self.status.unknown
        return [*(f"{count(len(unknown), 'trial')} unknown: {reason}" for reason in unknown[:1]), *self.status.notes]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values: those of `SweepStatus`, its state, when it was launched last and how."""
        if self.manifest is None or self.status is None:
            return {"sweep": self.name, "state": self.state, "problem": self.problem}
        return {**self.status.as_json(), "launched": self.manifest.created, "command": self.manifest.command}

    def cells(self) -> tuple[str, ...]:
        """Return its line of the table, a text for each column of `HEADER`."""
        if self.manifest is None or self.status is None:
            return (self.name, "", "", "", "", self.state, one_line(self.problem))
        return (
            self.name,
            self.manifest.launched,
            f"{self.status.done}/{self.status.total}",
            str(self.status.counts["failed"]),
            str(self.status.total - self.status.done),
            self.state,
            _to_paste(self.manifest.command),
        )


def _to_paste(command: str) -> str:
    """Return a command whole and with its spaces, on one line."""
    return printable(command.replace("\n", r"\n").replace("\t", r"\t"))


def overview(store: Store, add_jobs: Callable[[Sequence[tuple[SweepStatus, Manifest]]], None]) -> list[SweepOverview]:
    """Return every sweep, the most recently launched last.

    Parameters
    ----------
    add_jobs
        Adds the SLURM jobs to each status; called once, with the sweeps that have open trials and no running one.
    """
    entries, idle = [], []
    for name in sweep_names(store):
        try:
            manifest = load_manifest(store, name)
        except UserError as error:
            entries.append(SweepOverview(name, problem=str(error), damaged=not isinstance(error, StoreError)))
            continue
        status = sweep_status(store, manifest)
        if status.done < status.total and not status.running:
            idle.append((status, manifest))
        entries.append(SweepOverview(name, manifest, status))
    add_jobs(idle)
    return entries


def text(entries: Sequence[SweepOverview], width: int | None = None) -> str:
    """Return the lines to print: a table, then each note with the sweeps that it is about.

    Where a line would be longer than the width, each command stands below its sweep, whole, so that it can be copied.
    """
    rows = [HEADER, *(entry.cells() for entry in entries)]
    widths = [max(span(row[i]) for row in rows) for i in range(len(HEADER) - 1)]
    facts = ["  ".join(padded(c, w) for c, w in zip(row, widths, strict=False)) for row in rows]
    is_narrow = width is not None and any(
        span(f"{fact}  {row[-1]}") > width for fact, row in zip(facts, rows, strict=True)
    )
    gap = "\n  " if is_narrow else "  "
    lines = [f"{fact.rstrip() if is_narrow else fact}{gap}{row[-1]}" for fact, row in zip(facts, rows, strict=True)]
    sweeps_by_note: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        for note in entry.notes:
            sweeps_by_note[one_line(note, at_most=2000)].append(entry.name)
    return "\n".join([*lines, *(f"note: {note}  ({first(names, 3)})" for note, names in most_first(sweeps_by_note))])
