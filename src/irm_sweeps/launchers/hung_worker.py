"""End a worker of a SLURM job that does not stop in time, as one whose training hangs, so that its job is requeued.

`worker.stall` is no substitute: it is off by default, knows no time limit, and leaves the claims and the job to whoever
comes next. Here the trials are given up and the job is requeued before SLURM kills all of it, which would end it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable

SHARE_FOR_SAVING = 2 / 3
"""Share of the time between SLURM's signal and the time limit that a worker has to stop by itself."""
DEFAULT_STOP_SECONDS = 90.0
"""Time between the two for jobs submitted by earlier versions, which do not say."""


class StopDeadline:
    """Ends this process from a thread of its own if it does not stop in time after USR2.

    The thread learns of the signal from the file descriptor to which Python's own signal handler writes: the handlers
    set by `signal.signal` do not run while the main thread is stuck in a library.

    Parameters
    ----------
    seconds
        From the signal to the end of the job.
    requeue
        Has the job requeued; called in the thread, and may raise SystemExit.
    exit_code
        What this process then ends with.
    """

    def __init__(self, seconds: float | None, requeue: Callable[[], None], exit_code: int) -> None:
        self.seconds = SHARE_FOR_SAVING * (seconds or DEFAULT_STOP_SECONDS)
        self._requeue, self._exit_code = requeue, exit_code
        self._stopped, self._ending = threading.Event(), threading.Lock()
        self._passes: float | None = None
        self._worker_log = 2

    def watch(self) -> None:
        """Begin; called in the main thread."""
        self._worker_log = os.dup(2)  # while a stack trains, what is printed goes to a trial's log
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(read,), daemon=True, name="stop deadline").start()

    def stopped(self) -> None:
        """Cancel the deadline: the main thread has stopped, and ends this process itself.

        Does not return where the deadline has passed: the thread is ending the process.
        """
        self._stopped.set()
        self._ending.acquire()

    def seconds_left(self) -> float:
        """Return the seconds until it passes, all of them before the signal, and 0 afterwards."""
        return self.seconds if self._passes is None else max(0.0, self._passes - time.monotonic())

    def _watch(self, read: int) -> None:
        while signal.SIGUSR2 not in os.read(read, 64):
            pass
        self._passes = time.monotonic() + self.seconds
        if not self._stopped.wait(self.seconds) and self._ending.acquire(blocking=False):
            self._end()

    def _end(self) -> None:
        from irm_sweeps.worker.heartbeat import give_up_all

        try:
            trials = give_up_all(f"no step ended within {self.seconds:.0f} s of SLURM's signal: the worker is ended")
            faulthandler.dump_traceback(all_threads=True)  # where it hangs
            what = f"trial {', '.join(trials)} hangs" if trials else "this worker hangs"
            self._tell(f"error: {what}: it did not stop within {self.seconds:.0f} s of SLURM's signal")
            self._requeue()
        except SystemExit:
            pass
        except BaseException as error:
            self._tell(f"error: the job is not requeued: {error}")
        finally:
            os._exit(self._exit_code)

    def _tell(self, line: str) -> None:
        os.write(self._worker_log, f"{line}\n".encode())
