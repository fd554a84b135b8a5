"""The schedule of stacks on workers, which plan, progress and `status` share."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence


def wall_time(waiting: Iterable[float], workers: int, running: Sequence[float] = ()) -> float:
    """Return the seconds until workers that each take the next stack as soon as they are free have done all stacks.

    Parameters
    ----------
    waiting
        Seconds of each stack that nobody has begun, in the order in which to start.
    workers
        Number of workers, those at work included; at least one per running stack is counted.
    running
        Seconds left of each stack that is being trained.
    """
    idle = max(workers - len(running), 0 if running else 1)
    ends = [*running, *[0.0] * idle]
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)
