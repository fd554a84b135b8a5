"""The history of a trial that is being trained: rows come while it trains, and none twice."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from commands import ROGUE, SMALL, Desk, eventually, launch
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store.live_history import LiveHistory
from irm_sweeps.store.store import NotStorable, Store, history_bytes
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.worker import stack_run
from irm_sweeps.worker.live_rows import SHARE, LiveRows
from irm_sweeps.worker.stack_run import StackRun

ID = "0123456789abcdef"


def rows(n: int) -> list[dict[str, Any]]:
    return [{"step": step, "risks": [0.1 * step, 0.2]} for step in range(n)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / ID).mkdir()
    return Store(tmp_path)


def content(store: Store) -> bytes:
    return (store.root / ID / "history.jsonl").read_bytes()


def test_rows_are_added(store: Store) -> None:
    history = LiveHistory(store, ID)
    for n in (2, 2, 5):
        history.write(rows(n))
        assert content(store) == history_bytes(rows(n))
    assert len(store.history(ID) or []) == 5


def test_what_a_dead_worker_left_after_its_checkpoint_is_not_doubled(store: Store) -> None:
    """And should it only have seemed dead, it writes no more into the file of its successor."""
    first = LiveHistory(store, ID)
    first.write(rows(8))
    (store.root / ID / "history.jsonl").write_bytes(content(store)[:-7])
    second = LiveHistory(store, ID)
    second.write(rows(5))
    first.write(rows(10))
    assert content(store) == history_bytes(rows(5))
    second.write(rows(7))
    assert content(store) == history_bytes(rows(7))


def test_a_reader_leaves_the_row_that_is_being_written(store: Store) -> None:
    LiveHistory(store, ID).write(rows(3))
    path = store.root / ID / "history.jsonl"
    for cut, n in ((0, 3), (1, 2), (20, 2), (len(history_bytes(rows(3))), 0)):
        path.write_bytes(history_bytes(rows(3))[: len(history_bytes(rows(3))) - cut])
        assert len(store.history(ID) or []) == n
    path.write_bytes(b"{\n" + history_bytes(rows(3)))
    with pytest.raises(DamagedFile, match="line 1"):
        store.history(ID)


def test_a_row_that_cannot_be_read_back_is_not_written(store: Store) -> None:
    with pytest.raises(NotStorable, match="row 2"):
        LiveHistory(store, ID).write([rows(1)[0], {"step": 1, "risk": float("nan")}])
    assert not (store.root / ID / "history.jsonl").exists()


def test_a_write_that_fails_ends_no_trial(store: Store) -> None:
    said: list[str] = []
    live = LiveRows(store, said.append, seconds=0.0)
    (store.root / ID / "history.jsonl").mkdir()
    live.write({ID: rows(1)}, 0.0)
    live.write({ID: rows(1)}, 0.0)
    assert not live.is_due()
    assert "no more rows of the history are written before the result" in said[0]


def test_writing_takes_a_bounded_part_of_the_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("irm_sweeps.worker.live_rows.time.monotonic", lambda: now[0])
    live = LiveRows(store, print, seconds=10.0)
    assert not live.is_due()
    now[0] = 10.0
    assert live.is_due()
    live.write({ID: rows(1)}, began=9.0)
    now[0] = 10.0 + SHARE - 0.1
    assert not live.is_due()
    now[0] = 10.0 + SHARE
    assert live.is_due()


def finished(folder: Path) -> bytes:
    (path,) = folder.glob("*/history.jsonl")
    return path.read_bytes()


def test_the_finished_history_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether rows were written after each step, or never; and a reader sees them grow meanwhile."""
    more = ["training.log_every=1", "training.evaluate_every=5"]
    launch(f"results={tmp_path / 'never'}", *SMALL, *more)
    seen: list[int] = []
    usual = StackRun.after_step

    def look(self: StackRun, training: StackTraining) -> None:
        usual(self, training)
        seen.append(len(Store(tmp_path / "always").history(training.trials[0].id) or []))

    monkeypatch.setattr(StackRun, "after_step", look)
    monkeypatch.setattr(stack_run, "LiveRows", partial(LiveRows, seconds=0.0))
    monkeypatch.setattr("irm_sweeps.worker.live_rows.SHARE", 0)
    launch(f"results={tmp_path / 'always'}", *SMALL, *more)
    assert finished(tmp_path / "always") == finished(tmp_path / "never")
    assert seen == sorted(seen)
    assert seen[0] >= 1
    assert seen[-1] >= 20


def test_a_killed_worker_leaves_its_rows_and_none_is_doubled(desk: Desk, tmp_path: Path) -> None:
    own = [*ROGUE, "training.steps=150", "training.log_every=1", "checkpoint_seconds=3"]
    sweep = desk.sweep(*own, slots=1)

    def row_count() -> int:
        return sum(path.read_bytes().count(b"\n") for path in desk.results.glob("*/history.jsonl"))

    eventually(lambda: row_count() > 10, "rows while it trains")
    assert not desk.in_store()
    (pid,) = set(desk.holders().values())
    os.kill(pid, signal.SIGKILL)
    before = row_count()
    desk.gate.touch()
    assert desk.answer(sweep).code == 0
    assert before > 10
    launch(f"results={tmp_path / 'undisturbed'}", *own)
    assert finished(desk.results) == finished(tmp_path / "undisturbed")
