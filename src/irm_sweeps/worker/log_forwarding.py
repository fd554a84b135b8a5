"""Between a worker and its logger: whatever the logger does, training goes on as if there were none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from irm_sweeps.loggers.logger import Logger, Run, Stream, build_logger, scalars
from irm_sweeps.trial import Trial
from irm_sweeps.wording import label


def run_name(trial: Trial) -> str:
    """Return a name that is readable and fit for a file, e.g. `IRMv1_lam=100_seed=3_0094c562`."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "_", f"{label(trial.canonical)} {trial.id[:8]}")


class Feed:
    """Hands the histories of a stack's trials to a logger.

    A logger that raises is told no more of this stack but how the runs that it has opened end, and one line of the
    trials' logs says so.

    Parameters
    ----------
    values
        The logger's config; None: no logger.
    folder
        Returns the folder of a trial.
    say
        Writes a line to the trials' logs.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None,
        sweep: str,
        say: Callable[[str], None],
        folder: Callable[[str], Path],
    ) -> None:
        self._values, self._sweep, self._say, self._folder = values, sweep, say, folder
        self._logger: Logger | None = None
        self._streams: dict[str, Stream] = {}
        self._told: dict[str, int] = {}
        self._broken = values is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Close what is still open: these trials were interrupted, or their stack failed."""
        del error, trace
        status = "failed" if kind is not None and issubclass(kind, Exception) else "interrupted"
        for trial_id in list(self._streams):
            with self._kept_going():
                self._streams.pop(trial_id).close(status, {})

    def rows(self, trial: Trial, history: Sequence[Mapping[str, Any]]) -> None:
        """Hand over the rows that this trial's logger has not had yet."""
        with self._kept_going():
            if self._broken:
                return
            if trial.id not in self._streams:
                if self._logger is None:
                    self._logger = build_logger(self._values or {})
                run = Run(trial.id, run_name(trial), self._sweep, trial.canonical, self._folder(trial.id))
                self._streams[trial.id] = self._logger.open(run)
            for row in history[self._told.get(trial.id, 0) :]:
                self._streams[trial.id].write(int(row["step"]), dict(scalars(row)))
            self._told[trial.id] = len(history)

    def finish(self, trial: Trial, history: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> None:
        """Hand over the rest, and the result."""
        self.rows(trial, history)
        with self._kept_going():
            if trial.id in self._streams:
                self._streams.pop(trial.id).close(result["status"], dict(scalars(result["metrics"])))

    @contextmanager
    def _kept_going(self) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            if not self._broken:
                text = " ".join(str(error).split())
                self._say(f"the logger failed ({type(error).__name__}: {text}); training goes on without it")
            self._broken = True
