"""The processes that a process has started, read from /proc."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return the pids of a process's children, their children and so on, nearest first; none without /proc."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            children[int(fields[1])].append(int(stat.parent.name))
    found = list(children[pid])
    for process in found:  # grows meanwhile
        found += children[process]
    return found


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL to those of the processes that still exist and are this user's."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
