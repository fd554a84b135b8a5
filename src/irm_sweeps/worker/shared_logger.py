"""The logger of a worker: all its stacks share it, and after a failure none uses it any more."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from irm_sweeps.errors import one_line, raised
from irm_sweeps.loggers.bounded_calls import CallThread, NoAnswer
from irm_sweeps.loggers.logger import Logger, Run, Stream, build_logger
from irm_sweeps.worker.forks import children_end

CALL_SECONDS = 60.0
"""How long one call of a logger may take, and ten calls in a row together."""
STOP_SECONDS = 10.0
"""How long one call may take once the worker is asked to stop: whoever asked may soon kill it."""


def _ending_children(call: Callable[[], object]) -> Callable[[], object]:
    """Return the call such that a process that it forks ends with it."""

    def run() -> object:
        with children_end():
            return call()

    return run


class SharedLogger:
    """Calls a worker's logger from a thread of its own, such that no call takes longer than its bound.

    Parameters
    ----------
    config
        The logger's config; None: no logger.
    stop_requested
        Set by others when the worker is to stop.

    Attributes
    ----------
    failure
        What the logger raised first; empty while it works.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        stop_requested: threading.Event | None = None,
    ) -> None:
        self.is_configured = config is not None
        self.failure = ""
        self._config, self._stop_requested = config, stop_requested
        self._logger: Logger | None = None
        self._thread = CallThread()
        self._recent: deque[float] = deque(maxlen=10)
        self._is_closable = True

    @property
    def is_usable(self) -> bool:
        """Whether there is a logger, and it has not failed."""
        return self.is_configured and not self.failure

    def open(self, run: Run) -> Stream:
        """Open a trial's run; call it by `attempt`, which bounds it."""
        if self._logger is None:
            self._logger = build_logger(self._config or {})
        return self._logger.open(run)

    def attempt(self, call: Callable[[], object]) -> bool:
        """Run a call of the logger, unless it has failed; return whether the call succeeded."""
        return self.is_usable and self._run(call)

    def attempt_to_close(self, call: Callable[[], object]) -> None:
        """Run a call that closes a run, also after a failure, until such a call fails or one does not return."""
        if self.is_configured and self._is_closable:
            failed_before = bool(self.failure)
            self._is_closable = self._run(call) or (not failed_before and self._is_closable)

    def _run(self, call: Callable[[], object]) -> bool:
        began = time.monotonic()
        try:
            self._thread.run(_ending_children(call), self._bound)
            self._recent.append(time.monotonic() - began)
            if len(self._recent) == self._recent.maxlen and sum(self._recent) > CALL_SECONDS:
                raise NoAnswer(f"its last {len(self._recent)} calls took {sum(self._recent):.0f} s")
        except (Exception, SystemExit) as error:
            self._is_closable = self._is_closable and not isinstance(error, NoAnswer)
            self.failure = self.failure or one_line(raised(error), at_most=1000)
            return False
        return True

    def _bound(self) -> float:
        if self._stop_requested is not None and self._stop_requested.is_set():
            return STOP_SECONDS
        return CALL_SECONDS
