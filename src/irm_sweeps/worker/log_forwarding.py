"""Forward the histories of a stack's trials to the worker's logger, such that no failure of the logger ends a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from irm_sweeps.loggers.logger import Run, Stream, run_name, scalars
from irm_sweeps.trial import Trial
from irm_sweeps.worker.shared_logger import SharedLogger


class LogForwarder:
    """Forwards the histories of a stack's trials to a logger.

    After the logger has failed, it gets no more rows, of this stack or a later one of the worker; the runs that it has
    opened are still closed if it can close them, and one line in the trials' logs says what it raised.

    Parameters
    ----------
    logger
        The worker's logger.
    sweep
        The name of the sweep.
    write_log
        Writes a line into the logs of the stack's trials.
    folder_of
        Returns the folder of a trial, by its id.
    label_of
        Returns the name of a trial within its sweep, by its id.
    keys
        Returns every key that the names of the sweep's trials have.

    Attributes
    ----------
    final_status
        The status with which `close` closes runs.
    """

    def __init__(
        self,
        logger: SharedLogger,
        sweep: str,
        write_log: Callable[[str], None],
        folder_of: Callable[[str], Path],
        label_of: Callable[[str], str],
        keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.final_status = "interrupted"
        self._label_of, self._keys = label_of, keys
        self._logger, self._sweep, self._write_log, self._folder_of = logger, sweep, write_log, folder_of
        self._failed_before = bool(logger.failure)
        self._failure_is_logged = False
        self._streams: dict[str, Stream] = {}
        self._rows_forwarded: dict[str, int] = {}

    def close(self) -> None:
        """Close the runs that are still open: their trials were interrupted, or their stack failed."""
        for trial_id in list(self._streams):
            self._close(trial_id, self.final_status, {})

    def forget(self) -> None:
        """Leave the runs that are open as they are."""
        self._streams.clear()

    def forward(self, trial: Trial, history: Sequence[Mapping[str, Any]]) -> None:
        """Forward the rows of a trial's history that the logger has not had yet."""
        if self._logger.is_usable and trial.id not in self._streams:
            self._logger.attempt(lambda: self._open(trial))
        if stream := self._streams.get(trial.id):
            for row in history[self._rows_forwarded.get(trial.id, 0) :]:
                step, values = int(row["step"]), dict(scalars(row))
                if not self._logger.attempt(lambda step=step, values=values: stream.write(step, values)):  # type: ignore[misc]
                    break
            self._rows_forwarded[trial.id] = len(history)
        self._log_failure()

    def finish(self, trial: Trial, history: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> None:
        """Forward the rest of a trial's history and its result, and close its run."""
        self.forward(trial, history)
        self._close(trial.id, result["status"], dict(scalars(result["metrics"])))

    def _open(self, trial: Trial) -> None:
        name = run_name(self._label_of(trial.id), trial.id)
        run = Run(trial.id, name, self._sweep, deepcopy(trial.config), self._folder_of(trial.id), self._keys())
        self._streams[trial.id] = self._logger.open(run)

    def _close(self, trial_id: str, status: str, final: Mapping[str, float]) -> None:
        if stream := self._streams.pop(trial_id, None):
            self._logger.attempt_to_close(lambda: stream.close(status, final))
            self._log_failure()

    def _log_failure(self) -> None:
        """Write one line about the logger's failure into the logs of this stack's trials, once."""
        if not self._logger.failure or self._failure_is_logged:
            return
        self._failure_is_logged = True
        when = "has failed before in this worker" if self._failed_before else "failed"
        self._write_log(f"the logger {when} ({self._logger.failure}); training goes on without it")
