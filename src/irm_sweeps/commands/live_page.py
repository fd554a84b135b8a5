"""The live page: a sweep as HTML, made when somebody looks, and never with more than a small share of one core."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from irm_sweeps.analysis.fill_commands import overrides_into
from irm_sweeps.analysis.report import curve_svg
from irm_sweeps.analysis.tables.formats import page, source
from irm_sweeps.commands.live_sweep import LiveSweep, Watch
from irm_sweeps.commands.sweep_status import SweepStatus
from irm_sweeps.errors import UserError, one_line
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store.schema import STATUSES
from irm_sweeps.store.watched_store import WatchedStore
from irm_sweeps.typed_commands import is_default_store, launching, looking, typed
from irm_sweeps.wording import count, duration

SECONDS = 3
"""Time between two looks of an open page. A page that nobody has open costs nothing."""
SHARE = 20
"""A page that took so long to make is shown for at least this many times as long: a twentieth of one core."""


class LivePage:
    """Makes the page of a sweep; several threads may ask for it.

    Parameters
    ----------
    sweep
        Name of the sweep; None: the one that was launched last, which may change.
    again
        The command that serves the page again.

    Attributes
    ----------
    style, script
        The text of its inline style and script.
    """

    def __init__(self, store: WatchedStore, sweep: str | None, again: str) -> None:
        self.style = "".join(map(source, ("style.css", "report.css", "charts.css", "live.css")))
        self.script = source("live.js")
        self._watch, self._again = Watch(store, sweep), again
        self._lock = threading.Lock()
        self._html, self._due = "", 0.0
        self._failure: Exception | None = None

    def html(self) -> str:
        """Return the page as it is now, or as it was a moment ago; raise what went wrong when it was last made."""
        with self._lock:
            if time.monotonic() >= self._due:
                began, once = time.monotonic(), self._watch.seconds_once
                try:
                    self._html, self._failure = self._made(), None
                except Exception as error:
                    self._failure = error
                finally:
                    ended = time.monotonic()
                    spent = ended - began - (self._watch.seconds_once - once)
                    self._due = ended + max(SECONDS / 3, SHARE * spent)
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            return self._html

    def _made(self) -> str:
        sweep, problem = None, ""
        try:
            sweep = self._watch.look()
        except (UserError, DamagedFile, OSError) as error:
            problem = one_line(str(error), at_most=1000)
        return page(
            "live.html",
            style=self.style,
            script=self.script,
            seconds=SECONDS,
            again=self._again,
            store=self._watch.store.root,
            sweep=sweep,
            problem=problem,
            sentence=problem or (_sentence(sweep.status) if sweep else "No sweep has been launched here yet."),
            time_left=_time_left(sweep.status) if sweep else "",
            first=_first(self._watch.store.root),
            report=_report(sweep) if sweep else "",
            go_on=_go_on(sweep),
            made=datetime.now(UTC).strftime("%H:%M:%S UTC"),
            width=curve_svg.WIDTH,
            height=curve_svg.HEIGHT,
        )


def _sentence(status: SweepStatus) -> str:
    """Return how far the sweep is: `3 of 12 trials are done (2 completed, 1 failed), 2 running, 7 to do.`"""
    counts = ", ".join(f"{status.counts[word]} {word}" for word in STATUSES if status.counts[word])
    if status.state == "done":
        return f"{'The trial is' if status.total == 1 else f'All {status.total} trials are'} done: {counts}."
    are = "is" if 1 in (status.done, status.total) else "are"
    done = f"{status.done} of {count(status.total, 'trial')} {are} done{f' ({counts})' if counts else ''}"
    unknown = f", {len(status.unknown)} not known" if status.unknown else ""
    state = {
        "stopped": " Nothing is running.",
        "queued": " The workers wait in SLURM's queue.",
        "unknown": " Whether anything is running cannot be told.",
    }.get(status.state, "")
    return f"{done}, {len(status.running)} running, {status.to_do} to do{unknown}.{state}"


def _time_left(status: SweepStatus) -> str:
    return "" if status.eta_seconds is None else f"About {duration(status.eta_seconds)} left."


def _go_on(sweep: LiveSweep | None) -> str:
    """Return the command that goes on with a sweep that nobody works on; empty for others."""
    if sweep is None or sweep.status.state != "stopped":
        return ""
    return looking("work", sweep.manifest.name, results=sweep.status.results)


def _first(root: Path) -> str:
    """Return a command that launches a sweep in a store."""
    return launching(*overrides_into(root, ["method=irmv1,vrex", "lam=1,100"]))


def _report(sweep: LiveSweep) -> str:
    """Return the command that writes the whole report: of a paper's sweep the one that has the papers."""
    root = sweep.status.results
    where = [] if is_default_store(root) else ["--results", str(root)]
    return typed("report", *([] if sweep.papers else ["--sweep", sweep.manifest.name]), *where)
