"""How long the local launcher waits between two looks at the store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from irm_sweeps.launchers import local


class Clock:
    """A clock that only these stand-ins advance."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize(("looking", "starting", "slept"), [(0.0, 60.0, local.POLL_SECONDS), (2.0, 60.0, 10.0)])
def test_the_start_of_workers_does_not_count_as_looking(
    monkeypatch: pytest.MonkeyPatch, looking: float, starting: float, slept: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(local, "time", clock)

    def poll() -> int:
        clock.now += looking
        return 0

    def start(slot: Any) -> None:
        clock.now += starting
        pool.jobs.append((slot, None))
        watcher.complete = True

    watcher: Any = SimpleNamespace(poll=poll, complete=False, stopped_by_error=bool, unclaimed=lambda at_most: 1)
    pool: Any = SimpleNamespace(
        jobs=[], collect=list, free_slots=lambda: ["slot"], starting=lambda: 0, start=start, note_result=list
    )
    turnover: Any = SimpleNamespace(update=lambda *_: None, is_fruitless=lambda any_at_work: False)
    local._keep_busy(pool, watcher, turnover)
    assert pool.jobs
    assert clock.slept == [slept]
