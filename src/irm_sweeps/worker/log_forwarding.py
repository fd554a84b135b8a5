"""Forward the histories of trials to a logger, such that no failure of the logger ends a trial."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from irm_sweeps.loggers.logger import Logger, Run, Stream, build_logger, scalars
from irm_sweeps.trial import Trial
from irm_sweeps.wording import label
from irm_sweeps.worker.forks import children_end


def run_name(trial: Trial) -> str:
    """Return a name that is readable and fit for a file, e.g. `IRMv1_lam=100_seed=3_0094c562`."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "_", f"{label(trial.canonical)} {trial.id[:8]}")


class LogForwarder:
    """Forwards the histories of a stack's trials to a logger, while the block runs.

    After the logger has raised once, it gets no more rows of this stack; the runs that it has opened are still
    closed, and one line in the trials' logs says what it raised.

    Parameters
    ----------
    config
        The logger's config; None: no logger.
    sweep
        The name of the sweep.
    write_log
        Writes a line into the logs of the stack's trials.
    folder_of
        Returns the folder of a trial, by its id.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        sweep: str,
        write_log: Callable[[str], None],
        folder_of: Callable[[str], Path],
    ) -> None:
        self._config, self._sweep, self._write_log, self._folder_of = config, sweep, write_log, folder_of
        self._logger: Logger | None = None
        self._streams: dict[str, Stream] = {}
        self._rows_forwarded: dict[str, int] = {}
        self._disabled = config is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Close the runs that are still open: their trials were interrupted, or their stack failed."""
        del error, trace
        status = "failed" if kind is not None and issubclass(kind, Exception) else "interrupted"
        for trial_id in list(self._streams):
            with self._errors_disable_it():
                self._streams.pop(trial_id).close(status, {})

    def forward(self, trial: Trial, history: Sequence[Mapping[str, Any]]) -> None:
        """Forward the rows of a trial's history that the logger has not had yet."""
        with self._errors_disable_it():
            if self._disabled:
                return
            if trial.id not in self._streams:
                self._streams[trial.id] = self._open(trial)
            for row in history[self._rows_forwarded.get(trial.id, 0) :]:
                self._streams[trial.id].write(int(row["step"]), dict(scalars(row)))
            self._rows_forwarded[trial.id] = len(history)

    def finish(self, trial: Trial, history: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> None:
        """Forward the rest of a trial's history and its result, and close its run."""
        self.forward(trial, history)
        with self._errors_disable_it():
            if trial.id in self._streams:
                self._streams.pop(trial.id).close(result["status"], dict(scalars(result["metrics"])))

    def _open(self, trial: Trial) -> Stream:
        if self._logger is None:
            self._logger = build_logger(self._config or {})
        return self._logger.open(
            Run(trial.id, run_name(trial), self._sweep, trial.canonical, self._folder_of(trial.id))
        )

    @contextmanager
    def _errors_disable_it(self) -> Iterator[None]:
        try:
            with children_end():
                yield
        except (Exception, SystemExit) as error:
            if not self._disabled:
                text = " ".join(str(error).split())
                self._write_log(f"the logger failed ({type(error).__name__}: {text}); training goes on without it")
            self._disabled = True
