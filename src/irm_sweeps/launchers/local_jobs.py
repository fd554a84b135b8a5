"""Starting worker processes on this machine: forked from one that has imported torch, or each by itself.

A job is the process that starts a worker and watches over it. Its id is its pid, and its logs are `JOB_0_log.out` and
`JOB_0_log.err`, whichever way it was started.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from irm_sweeps.launchers.job_pickles import discard_pickles
from irm_sweeps.launchers.worker_task import WorkerTask

YEAR_MINUTES = 60 * 24 * 365
IMPORT_SECONDS = 300.0
"""How long the first fork may take: the server imports torch before."""
END_SECONDS = 5.0


class Job(Protocol):
    """A started job."""

    @property
    def pid(self) -> int:
        """The job's id."""

    def done(self) -> bool:
        """Return whether the job has ended."""

    def returned(self) -> bool:
        """Return whether its worker ended as it should; one that is asked to stop does not. To be asked at the end."""


class Jobs:
    """Starts jobs whose logs go to a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: ForkServer | None = None
        self._forks = _can_wait_for_any_process()
        self._executor: Any = None

    def start(self, task: WorkerTask) -> Job:
        """Start a worker: a fork where it has no GPU and one thread, else a process that imports torch itself.

        Raises
        ------
        OSError
            It cannot be started.
        """
        if self._forks and task.visible_gpu == "" and task.threads == 1:
            try:
                return self._fork(task)
            except ServerGone:
                self._forks = False
        return self._submit(task)

    def log(self, job: Job) -> Path:
        """Return the file to which a job's stderr goes."""
        return self.folder / f"{job.pid}_0_log.err"

    def close(self) -> None:
        """End the server; the jobs go on, and are asked for nothing any more."""
        if self._server is not None:
            self._server.close()
            self._server.forget_jobs()

    def _fork(self, task: WorkerTask) -> Job:
        if self._server is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._server = ForkServer()
        return self._server.start(self.folder, task)

    def _submit(self, task: WorkerTask) -> Job:
        if self._executor is None:
            from submitit import LocalExecutor

            self._executor = LocalExecutor(self.folder)
            self._executor.update_parameters(timeout_min=YEAR_MINUTES)
        with _ignored_by_children():
            return SubmittedJob(self._executor.submit(task))


class SubmittedJob:
    """A job that submitit has started."""

    def __init__(self, job: Any) -> None:
        self._job = job
        self.pid = int(job.job_id)

    def done(self) -> bool:
        """As `Job.done`."""
        return bool(self._job.done())

    def returned(self) -> bool:
        """As `Job.returned`: a worker that ends as it should removes its task."""
        returned = not self._job.paths.submitted_pickle.exists()
        discard_pickles(Path(self._job.paths.folder), [self._job.job_id])
        return returned


class ServerGone(Exception):
    """The fork server has ended, or never came up."""


class ForkServer:
    """`irm_sweeps.launchers.fork_server`, started by this process, for workers of one thread."""

    def __init__(self) -> None:
        env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._requests, self._replies = os.pipe()[::-1], os.pipe()
        told = self._replies[1]
        command = [sys.executable, "-u", "-m", "irm_sweeps.launchers.fork_server", str(told)]
        nowhere = subprocess.DEVNULL
        with _ignored_by_children():
            self._process = subprocess.Popen(
                command, env=env, stdin=self._requests[1], stdout=nowhere, stderr=nowhere, pass_fds=[told]
            )
        os.close(self._requests[1])
        os.close(told)
        self._text = b""
        self._began: list[int] = []
        self._ended: dict[int, bool] = {}
        self._jobs: list[ForkedJob] = []
        self._closed = False

    def start(self, folder: Path, task: WorkerTask) -> ForkedJob:
        """Have a job forked, and wait until it has begun.

        Raises
        ------
        ServerGone
            It is not there to do so.
        """
        request = json.dumps({"folder": str(folder.absolute()), **asdict(task)}) + "\n"
        deadline = time.monotonic() + IMPORT_SECONDS
        try:
            os.write(self._requests[0], request.encode())
            while not self._began and time.monotonic() < deadline:
                gone = self._process.poll() is not None
                self._read(0.1)
                if gone:
                    break
            if self._began:
                self._jobs.append(ForkedJob(self, self._began[-1]))
                self._began.pop()
                return self._jobs[-1]
        except BrokenPipeError:
            pass
        except BaseException:
            self.close()
            raise
        self.close()
        raise ServerGone

    def returned(self, pid: int) -> bool:
        """Return whether a job has told that its worker ended as it should."""
        self._read()
        return self._ended.pop(pid, False)

    def _read(self, seconds: float = 0.0) -> None:
        """Take note of what the jobs have told, and wait for it so long at most."""
        while select.select([self._replies[0]], [], [], seconds)[0]:
            text = os.read(self._replies[0], 2**16)
            if not text:
                break
            *lines, self._text = (self._text + text).split(b"\n")
            for words in (line.split() for line in lines):
                if words[0] == b"began":
                    self._began.append(int(words[1]))
                else:
                    self._ended[int(words[1])] = words[2] == b"1"
            seconds = 0.0

    def close(self) -> None:
        """End the server, and what it has begun without an answer to anybody; the other jobs go on."""
        if self._closed:
            return
        self._closed = True
        self._process.terminate()
        os.close(self._requests[0])
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._read()
        for job in self._began:
            with suppress(ProcessLookupError):
                os.kill(job, signal.SIGTERM)

    def forget_jobs(self) -> None:
        """Close what tells of the jobs' ends: a search has a server for each of its batches."""
        os.close(self._replies[0])
        for job in self._jobs:
            job.forget()


class ForkedJob:
    """A job that the fork server has started; its end is known from a file descriptor that stands for the process."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server, self.pid = server, pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    def done(self) -> bool:
        """As `Job.done`."""
        if self._descriptor is not None and select.select([self._descriptor], [], [], 0)[0]:
            self.forget()
        return self._descriptor is None

    def forget(self) -> None:
        """Close the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def returned(self) -> bool:
        """As `Job.returned`."""
        return self._server.returned(self.pid)


def _can_wait_for_any_process() -> bool:
    """Return whether the system has descriptors of processes: Linux since 5.3, where no sandbox refuses them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


@contextmanager
def _ignored_by_children() -> Iterator[None]:
    """Start processes that ignore SIGINT and SIGHUP: closing the terminal or Ctrl-C must not end them halfway."""
    previous = {signum: signal.signal(signum, signal.SIG_IGN) for signum in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
