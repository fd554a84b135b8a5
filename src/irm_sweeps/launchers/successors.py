"""Run the worker of a SLURM task or of `irm-sweeps work` in a process of its own, and then its successors.

A trial may end the process that trains it. SLURM gives a task once, and `work` is typed once: without a successor, as
many such trials as there are workers would keep all others from being trained. A local launcher starts successors
itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from irm_sweeps import slurm

AT_WORK, FAILURE, REPLACE, ENDED = b"w", b"f", b"r", b"e"
"""What a worker tells: it has begun to work; a trial has failed; a successor is to go on; it ends by itself."""
MAX_EARLY_DEATHS = 3
"""So many workers in a row may die before they begin to work."""
_SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)

_pipe: int | None = None
"""In a worker: where it tells what it does."""


def tell(message: bytes) -> None:
    """Tell the process that runs `work_in_successors` what this worker does; does nothing where there is none."""
    if _pipe is not None:
        with suppress(OSError):  # a trial's code has closed it
            os.write(_pipe, message)


def has_successor() -> bool:
    """Return whether this process is a worker of `work_in_successors`."""
    return _pipe is not None


def work_in_successors(work: Callable[[], int]) -> int:
    """Call `work` in a fork of this process, and in another one whenever that dies; return the last exit code.

    In the forks it does not return: they end with the code that `work` returns. This process must have one thread, and
    should have imported little.

    Returns
    -------
    int
        As `work` returns it; 1 in place of 0 where an earlier worker has noted a failure.
    """
    task = _Task()
    failed, early_deaths = False, 0
    while True:
        code, messages = task.run(work)
        failed = failed or FAILURE in messages
        if not task.stopping and REPLACE in messages:
            continue
        if ENDED in messages or task.stopping:
            return code or int(failed)
        early_deaths = 0 if AT_WORK in messages else early_deaths + 1
        if early_deaths > MAX_EARLY_DEATHS:
            return code or 1
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        print(f"the worker has died ({how}): a successor begins", file=sys.stderr, flush=True)


class _Task:
    """This process: it forwards signals to the worker that it has forked last.

    Attributes
    ----------
    stopping
        Whether a signal has asked it to stop: a dead worker gets no successor then.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._worker: int | None = None
        self._handlers = {signum: signal.getsignal(signum) for signum in _SIGNALS}

    def run(self, work: Callable[[], int]) -> tuple[int, bytes]:
        """Fork a worker, wait for its end, and return its exit code (128 + a signal) and what it has told."""
        read, write = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # one that comes now reaches the worker in any case
        for signum in _SIGNALS:
            signal.signal(signum, self._forward)
        self._worker = os.fork()
        if not self._worker:
            os.close(read)
            self._become_worker(work, write)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(write)
        code = os.waitstatus_to_exitcode(os.waitpid(self._worker, 0)[1])
        self._worker = None
        return (code if code >= 0 else 128 - code), _rest(read)

    def _become_worker(self, work: Callable[[], int], pipe: int) -> None:
        global _pipe
        _pipe = pipe
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            code = work()
        finally:
            tell(ENDED)
        sys.exit(code)

    def _forward(self, signum: int, frame: FrameType | None) -> None:
        """Forward a signal, which may have been sent to the worker too; a second SIGINT would interrupt it at once."""
        del frame
        self.stopping = True
        if self._worker and not (signum == signal.SIGINT and _interrupts_reach_worker()):
            with suppress(ProcessLookupError):
                os.kill(self._worker, signum)


def _interrupts_reach_worker() -> bool:
    """Return whether SIGINT is sent to all processes of a command, as by SLURM, and by a terminal to its foreground."""
    if slurm.is_submitted_task():
        return True
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _rest(read: int) -> bytes:
    """Return what is in a pipe, and close it; a process that a trial has started may hold its other end."""
    os.set_blocking(read, False)
    try:
        return os.read(read, 2**16)
    except BlockingIOError:
        return b""
    finally:
        os.close(read)
