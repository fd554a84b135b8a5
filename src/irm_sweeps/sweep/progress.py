"""Progress of a sweep: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Self

from irm_sweeps.errors import one_line, printable
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.forecast import LaunchForecast
from irm_sweeps.wording import duration


@contextmanager
def in_place(watching: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that prints a text: in place of the one before when watching a terminal, else below it."""
    if not (watching and sys.stdout.isatty()):
        yield partial(print, flush=True)
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as screen:
        yield lambda text: screen.update(Text(text), refresh=True)


class Progress:
    """Counts results as they come in.

    Parameters
    ----------
    total
        Trials that this command is to run; 0 to show nothing.
    labels
        Names by trial id that tell the sweep's trials apart, where their short names do not.
    forecast
        Tells the time left; without it, no time is shown.
    """

    LINE_SECONDS = 5.0
    """Least time between two plain lines, except for failures and the last."""
    SILENT_SECONDS = 60.0
    """Longest time without a line while trials train."""
    LISTED = 4
    """Most running trials whose steps a line tells."""

    def __init__(
        self, total: int, labels: Mapping[str, str] | None = None, forecast: LaunchForecast | None = None
    ) -> None:
        self.total = total
        self._labels, self._forecast = labels or {}, forecast
        self.counts = {"completed": 0, "diverged": 0, "failed": 0}
        self._started = time.monotonic()
        self._last_line = self._started
        self._text = "none done yet"
        self._bar: Any = None
        self.failures = 0

    @property
    def finished(self) -> int:
        """Results so far."""
        return sum(self.counts.values())

    def __enter__(self) -> Self:
        if sys.stdout.isatty() and self.total:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar
            from rich.table import Column

            whole = Column(no_wrap=True)
            rest = Column(
                ratio=1, no_wrap=True, overflow="ellipsis"
            )  # the last column alone is cut in a narrow terminal
            self._bar = Bar(
                MofNCompleteColumn(table_column=whole.copy()),
                BarColumn(bar_width=20, table_column=whole.copy()),
                TimeElapsedColumn(table_column=whole.copy()),
                TextColumn("{task.description}", markup=False, table_column=rest),  # brackets are no markup
                expand=True,
            )
            self._task = self._bar.add_task(self._text, total=self.total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def time_left(self) -> str:
        """Return the time left in whole stacks, by results and by the steps of running trials; `?` before any."""
        seconds = self._forecast.seconds_left() if self._forecast else None
        return "?" if seconds is None else duration(seconds)

    def look(self) -> None:
        """Show how far the running trials are, if nothing else has been shown for long; to be called all the time."""
        now = time.monotonic()
        silent = LaunchForecast.ASK_SECONDS if self._bar is not None else self.SILENT_SECONDS
        if not self.total or self._forecast is None or now - self._last_line < silent:
            return
        self._last_line = now
        left, running = self.time_left(), self._forecast.running.values()
        if self._bar is not None:
            self._bar.update(self._task, description=f"{left} left  {self._text}")
        elif steps := ", ".join(f"{claim.step}/{claim.steps}" for claim in islice(running, self.LISTED) if claim.step):
            more = ", ..." if len(running) > self.LISTED else ""
            print(f"[{self.finished}/{self.total}] {left} left  training, at step {steps}{more}", flush=True)

    def add(self, result: Result) -> None:
        """Count one result and show it."""
        failed = result.error is not None
        self.counts[result.status] += 1
        self.failures += failed
        if self._forecast is not None:
            self._forecast.add(result)
        if not self.total:
            return
        text = f"{result.status} {result.trial_id} {self._labels.get(result.trial_id, result.label)}"
        if result.error is not None:
            text += f": {result.error.message}"
        text = self._text = one_line(text, at_most=2000)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"{self.time_left()} left  {text}")
            if failed:
                self._bar.console.print(text, markup=False)
            return
        now = time.monotonic()
        if failed or self.finished in (1, self.total) or now - self._last_line >= self.LINE_SECONDS:
            print(f"[{self.finished}/{self.total}] {self.time_left()} left  {text}", flush=True)
            self._last_line = now

    def damaged(self, damage: DamagedFile) -> None:
        """Print which result file cannot be trusted or read; it counts as a failure of the command."""
        self.failures += 1
        print(printable(damage.told()), file=sys.stderr)

    def summary(self) -> str:
        """Return one line: what ran, how it ended, how long it took."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n or status == "completed")
        return f"{counts} in {duration(time.monotonic() - self._started)}"
