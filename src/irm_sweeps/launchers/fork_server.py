"""The process that imports torch once and forks the CPU workers of a local launcher.

    python -u -m irm_sweeps.launchers.fork_server REPLIES

It reads a job a line from stdin, a JSON object (`folder` for the logs, and the fields of a `WorkerTask`), until its
launcher closes the pipe or dies. For each it forks a process and writes its pid to the descriptor REPLIES (`began JOB`;
to stdout a module may print while it is imported). That process forks the worker, whose output goes to the job's logs,
forwards SIGTERM to it, as submitit's controller does, and writes `ended JOB RETURNED` at its end. A worker needs
neither of the others: it goes on when they are killed.

Forking is safe because nothing but imports has happened here: there is one thread (else this process ends), no GPU can
be seen, and none of the user's code has been imported.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from irm_sweeps.slurm import be_no_submitted_task

HAS_THREADS = 3
"""Exit code of a server that must not fork."""
CRASHED = 70
"""Exit code of a worker that ended with an exception."""
_RETURNED = b"r"


def serve() -> Callable[[], None]:
    """Fork jobs until stdin ends; return what the process that this returns in is to do."""
    _import_what_workers_need()
    if len(os.listdir("/proc/self/task")) > 1:
        return lambda: sys.exit(HAS_THREADS)
    requests, replies = os.fdopen(os.dup(0)), int(sys.argv[1])
    os.set_inheritable(replies, False)
    _send_to(os.devnull, 0, os.O_RDONLY)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the jobs
    gc.freeze()
    for line in requests:
        task = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # every job that begins is told of
        if not (job := os.fork()):
            requests.close()
            return _become_job(Path(task.pop("folder")), task, replies)
        _tell(replies, f"began {job}\n")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    return lambda: None


def _import_what_workers_need() -> None:
    import irm_sweeps.sweep.forecast
    import irm_sweeps.sweep.progress
    import irm_sweeps.worker.registry
    import irm_sweeps.worker.worker  # noqa: F401


def _become_job(folder: Path, task: dict[str, Any], replies: int) -> Callable[[], None]:
    """Fork the worker; return what this process, the job's or the worker's, is to do. SIGTERM is blocked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    be_no_submitted_task()
    job = os.getpid()
    for stream, name in ((1, "out"), (2, "err")):
        _send_to(folder / f"{job}_0_log.{name}", stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    returned, returns = os.pipe()
    worker = os.fork()
    if not worker:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.close(replies)
        os.close(returned)
        return lambda: _work(task, returns)
    os.close(returns)
    return lambda: _watch(job, worker, replies, returned)


def _watch(job: int, worker: int, replies: int, returned: int) -> None:
    """Wait for the worker's end, and tell whether it returned."""

    def forward(signum: int, frame: FrameType | None) -> None:
        del frame
        with suppress(ProcessLookupError):
            os.kill(worker, signum)

    signal.signal(signal.SIGTERM, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once it is reaped, its pid may be another's
    os.waitpid(worker, 0)
    os.set_blocking(returned, False)
    try:
        message = os.read(returned, 1)
    except BlockingIOError:  # a process that a trial has left holds the pipe
        message = b""
    _tell(replies, f"ended {job} {int(message == _RETURNED)}\n")
    os._exit(0)


def _work(task: dict[str, Any], returns: int) -> None:
    """Do a worker's task, and say whether it ended as it should."""
    from irm_sweeps.launchers.worker_task import FAILED, WorkerTask

    try:
        WorkerTask(**task)()
    except SystemExit as end:
        if end.code in (0, FAILED):
            _tell(returns, _RETURNED.decode())
        raise
    except BaseException:
        traceback.print_exc()
        sys.exit(CRASHED)
    _tell(returns, _RETURNED.decode())


def _tell(pipe: int, line: str) -> None:
    with suppress(OSError):  # nobody reads it any more, or a trial's code has closed it
        os.write(pipe, line.encode())


def _send_to(path: Path | str, stream: int, flags: int) -> None:
    opened = os.open(path, flags, 0o666)
    os.dup2(opened, stream)
    os.close(opened)


if __name__ == "__main__":
    serve()()
