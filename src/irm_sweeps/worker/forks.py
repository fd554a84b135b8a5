"""Ending the processes that a user's code forks, before they go on as if they were the worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MESSAGE = b"a process that the trial's code has forked came back from it: it ends here, and the worker goes on\n"


@contextmanager
def children_end() -> Iterator[None]:
    """End any process that was forked in the block and leaves it, by returning or by an exception.

    A child that goes on would write the trial's result and release its claims. Children that end within the block, as
    those of `multiprocessing` do, are not concerned.
    """
    pid = os.getpid()
    try:
        yield
    finally:
        end_unless(pid)


def end_unless(pid: int) -> None:
    """End this process at once, without clean-up, unless its id is this one."""
    if os.getpid() != pid:
        try:
            os.write(2, MESSAGE)
        finally:
            os._exit(1)
