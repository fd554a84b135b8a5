"""The order in which a worker tries stacks, and the number of store accesses that it needs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from irm_sweeps.store.finished import Finished
from irm_sweeps.store.manifest import Manifest, RunSettings
from irm_sweeps.store.store import Store
from irm_sweeps.worker import stack_order


def stacks_of(trials: int, size: int = 1) -> list[list[str]]:
    ids = [f"{i:016x}" for i in range(trials)]
    return [ids[i : i + size] for i in range(0, trials, size)]


def begin(store: Store, stack: Sequence[str]) -> bool:
    """Make the folder of its first trial, as a claim does; whether it is this one's."""
    try:
        store.folder(stack[0]).mkdir()
    except FileExistsError:
        return False
    return True


class Looking(Store):
    """A store that counts the folders asked for."""

    looks = 0

    def folder(self, trial_id: str) -> Path:
        self.looks += 1
        return super().folder(trial_id)


def test_one_worker_keeps_the_order(tmp_path: Path) -> None:
    store, stacks = Store(tmp_path), stacks_of(60, size=3)
    begun: list[Sequence[str]] = []

    def attempt(stack: Sequence[str]) -> bool:
        begun.append(stack)
        return begin(store, stack)

    stack_order.try_untouched(store, stacks, attempt)
    assert begun == stacks


def test_a_stack_of_which_any_trial_was_begun_is_not_untouched(tmp_path: Path) -> None:
    store, stacks = Store(tmp_path), stacks_of(6, size=2)
    begin(store, stacks[1][1:])
    tried: list[Sequence[str]] = []
    stack_order.try_untouched(store, stacks, lambda stack: not tried.append(stack))
    assert tried == [stacks[0], stacks[2]]


@pytest.mark.parametrize("workers", [2, 100])
def test_workers_that_start_at_once_share_everything_with_few_looks(tmp_path: Path, workers: int) -> None:
    """In lock step, the worst case: all look, then all begin. Passing over all that others do: workers x trials."""
    trials = 4000
    stacks, stores = stacks_of(trials), [Looking(tmp_path) for _ in range(workers)]
    begun: list[Sequence[str]] = []
    step = threading.Barrier(workers)

    def work(store: Store) -> None:
        def attempt(stack: Sequence[str]) -> bool:
            with suppress(threading.BrokenBarrierError):
                step.wait()
            won = begin(store, stack)
            begun.extend([stack] * won)
            return won

        stack_order.try_untouched(store, stacks, attempt)
        step.abort()

    threads = [threading.Thread(target=work, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == stacks
    assert sum(store.looks for store in stores) < 20 * trials


def test_each_open_stack_is_tried_once_and_after_misses_further_on() -> None:
    stacks, tried = stacks_of(50), list[Sequence[str]]()
    stack_order.try_each(stacks, lambda stack: bool(tried.append(stack)))
    assert sorted(tried) == stacks != tried


def test_who_finds_all_in_hand_does_not_look_at_everything() -> None:
    tried: list[Sequence[str]] = []
    stack_order.try_each(stacks_of(5000), lambda stack: bool(tried.append(stack)))
    assert len(tried) == stack_order.PATIENCE


@pytest.fixture
def launches(tmp_path: Path) -> tuple[Store, Manifest, Manifest]:
    store = Store(tmp_path)
    settings = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    first, second = (Manifest("sweep-0", {}, [], settings, launch, "", "") for launch in ("1", "2"))
    first.folder(store).mkdir(parents=True)
    return store, first, second


def test_what_one_worker_finished_all_of_its_launch_know(launches: tuple[Store, Manifest, Manifest]) -> None:
    store, first, second = launches
    one, other = Finished(store, first), Finished(store, first)
    assert other.trial_ids() == set()
    one.add("0" * 16)
    other.add("1" * 16)
    assert one.trial_ids() == other.trial_ids() == {"0" * 16, "1" * 16}
    later = Finished(store, second)
    assert later.trial_ids() == set()
    later.forget_others()
    assert one.trial_ids() == set()


def test_a_line_cut_short_tells_nothing(launches: tuple[Store, Manifest, Manifest]) -> None:
    store, first, _ = launches
    finished = Finished(store, first)
    finished.add("a" * 16)
    (file,) = (first.folder(store) / "finished.1").iterdir()
    file.write_bytes(file.read_bytes() + b"b" * 9)
    (file.parent / "other.txt").write_bytes(b"\xff\xfe nonsense")
    assert finished.trial_ids() == {"a" * 16}
