"""End a worker whose training makes no step any more, and say in the trials' logs where it hangs.

It needs `stall_seconds`, which is off by default: no time is too long for a step of every method. Where a SLURM job has
to stop, `launchers.hung_worker` ends a worker that does not, however long its steps may take.
"""

from __future__ import annotations

import faulthandler
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from irm_sweeps.files.untrusted import append_regular

STALLED = 1
"""Exit code of a process that ends itself: a trial has failed, or is about to."""
GRACE_SECONDS = 5.0
"""So much later the process is ended from outside the interpreter, which a call into C may hold for ever."""
_REASON = re.compile(r"it made no step for \S+ s \(stall_seconds=\S+\)")
_FROM_OUTSIDE = re.compile(r"^Timeout \([0-9:.]+\)!$", re.MULTILINE)
"""What `faulthandler` writes above the stack traces when its own timer ends the process."""


class StallTimer:
    """While the block runs, ends this process if `step` is not called for some time.

    At the end, the stack trace of every thread goes to a log. Nothing of the process is tidied up: its claims stay, as
    after a crash.

    Parameters
    ----------
    seconds
        Time without a step after which the process ends; None: never.
    log
        The file to which the stack traces are appended.
    announce
        Called with the reason before the process ends, unless a call into C holds the interpreter.
    """

    def __init__(self, seconds: float | None, log: Path, announce: Callable[[str], None]) -> None:
        self._seconds, self._log, self._announce = seconds, log, announce
        self._last_step = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._last_step = time.monotonic()
            file = self._open_log()
            # At once, and not by the thread: the interpreter may be held before that runs.
            faulthandler.dump_traceback_later(self._seconds + GRACE_SECONDS, exit=True, file=file)
            self._thread = threading.Thread(target=self._watch, args=(self._seconds, file), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()

    def step(self) -> None:
        """Note that the training has made a step."""
        self._last_step = time.monotonic()

    def _open_log(self) -> BinaryIO:
        try:
            return open(append_regular(self._log), "ab")
        except OSError:
            return open(os.devnull, "ab")

    def _watch(self, seconds: float, file: BinaryIO) -> None:
        with file:
            try:
                while not self._ended.wait(min(1.0, seconds / 10)):
                    left = self._last_step + seconds - time.monotonic()
                    if left <= 0:
                        self._end(seconds, file)
                    faulthandler.dump_traceback_later(left + GRACE_SECONDS, exit=True, file=file)
            finally:
                faulthandler.cancel_dump_traceback_later()

    def _end(self, seconds: float, file: BinaryIO) -> None:
        with suppress(Exception):  # whatever cannot be said, the process ends
            self._announce(f"it made no step for {seconds:g} s (stall_seconds={seconds:g})")
        with suppress(Exception):
            faulthandler.dump_traceback(file, all_threads=True)
        os._exit(STALLED)


def stall_in(log: str) -> str | None:
    """Return the reason that the last worker of a trial left in its log when it ended itself; None if it did not."""
    if reasons := _REASON.findall(log):
        return str(reasons[-1])
    return "it made no step for as long as stall_seconds says" if _FROM_OUTSIDE.search(log) else None
