"""A worker's stacks: which trials train together, and how it handles errors."""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import synthetic_store
from commands import SMALL
from interruptions import work_until
from irm_sweeps.errors import StoreError
from irm_sweeps.files.reading import read_fresh
from irm_sweeps.store import checkpoints, claims
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.training.checkpoint import pack
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial
from irm_sweeps.worker.exceptions import DeviceLost, Interrupted
from irm_sweeps.worker.worker import Worker

Make = Callable[..., Worker]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def four() -> Mapping[str, Trial]:
    """Four trials of one stack."""
    return collect([*SMALL, "seed=range(0,4)"])[0]


@pytest.fixture
def manifest(store: Store, four: Mapping[str, Trial]) -> Manifest:
    """One stack of four trials."""
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    return write_manifest(store, "sweep", {i: t.canonical for i, t in four.items()}, [list(four)], run)


@pytest.fixture
def worker(store: Store, manifest: Manifest) -> Worker:
    return Worker(store, manifest, torch.device("cpu"), capture=False, heartbeat_seconds=0.02)


def died_on(store: Store, manifest: Manifest, trial_id: str) -> None:
    """Leave the claim of a worker of this launch that is dead."""
    claim = claims.acquire(store, trial_id, manifest.launch, 20, 1)
    assert claim is not None
    claim.path.write_bytes(replace(claim, holder=replace(claim.holder, started=-1)).content())


def sizes(store: Store, manifest: Manifest) -> list[int]:
    """How large the stack was that each trial was trained in, in the order of the manifest."""
    results = [store.result(trial_id) for trial_id in manifest.trials]
    return [(result.timing.stack_size or 0) if result else 0 for result in results]


def test_a_stack_trains_together(store: Store, manifest: Manifest, worker: Worker) -> None:
    assert worker.work().completed == 4
    assert sizes(store, manifest) == [4, 4, 4, 4]


def test_a_trial_that_may_have_killed_its_worker_trains_alone(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspects = list(manifest.trials)[:2]
    for trial_id in suspects:
        died_on(store, manifest, trial_id)
    held = []
    run = StackTraining.run

    def watched(training: StackTraining, control: Any = None) -> Any:
        in_force = [i for i in manifest.trials if (claim := claims.current(store, i)) and claim.is_in_force()]
        held.append(([trial.id for trial in training.trials], in_force))
        return run(training, control)

    monkeypatch.setattr(StackTraining, "run", watched)
    assert worker.work().completed == 4
    assert sizes(store, manifest) == [1, 1, 2, 2]
    assert [sorted(trained) for trained, _ in held] == [sorted(list(manifest.trials)[2:]), [suspects[0]], [suspects[1]]]
    assert all(sorted(trained) == sorted(in_force) for trained, in_force in held), "no other trial is at stake"


def test_a_trial_that_has_killed_two_workers_is_given_up(store: Store, manifest: Manifest, worker: Worker) -> None:
    guilty = next(iter(manifest.trials))
    died_on(store, manifest, guilty)
    died_on(store, manifest, guilty)
    tally = worker.work()
    assert (tally.completed, tally.failed) == (3, 1)
    result = store.result(guilty)
    assert result
    assert result.error
    assert result.error.kind == "crash"


def test_what_does_not_fit_in_memory_trains_as_halves(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = StackTraining.run
    renewed = []

    def limited(training: StackTraining, control: Any = None) -> Any:
        if len(training.trials) > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        others = [i for i in manifest.trials if i not in {trial.id for trial in training.trials}]
        waiting = [store.folder(i) / "claim.1.json" for i in others]
        before = [path.stat().st_mtime_ns for path in waiting if path.exists()]
        deadline = time.monotonic() + 10
        while before and [path.stat().st_mtime_ns for path in waiting] == before and time.monotonic() < deadline:
            time.sleep(0.01)
        renewed.append([path.stat().st_mtime_ns for path in waiting if path.exists()] != before if before else None)
        return run(training, control)

    monkeypatch.setattr(StackTraining, "run", limited)
    assert worker.work().completed == 4
    assert sizes(store, manifest) == [2, 2, 2, 2]
    assert renewed == [True, None], "the half that waits is kept alive meanwhile"


def test_the_halves_find_the_memory_of_the_whole_free(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = StackTraining.run
    whole: list[weakref.ref[StackTraining]] = []
    left = []

    def limited(training: StackTraining, control: Any = None) -> Any:
        if len(training.trials) > 2:
            whole.append(weakref.ref(training))
            raise torch.OutOfMemoryError("out of memory")
        left.append(whole[0]() is not None)
        return run(training, control)

    monkeypatch.setattr(StackTraining, "run", limited)
    assert worker.work().completed == 4
    assert left == [False, False]


def test_a_gpu_that_is_lost_fails_no_trial(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fault in a kernel every later trial of the process would fail at once: another process goes on."""

    def fault(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    worker.device = torch.device("cuda")
    with monkeypatch.context() as patched:
        patched.setattr(StackTraining, "__init__", fault)
        patched.setattr(torch.cuda, "synchronize", fault)
        with pytest.raises(DeviceLost, match=r"^cuda is lost to this process: CUDA error: an illegal memory access"):
            worker.work()
    assert not any(store.has_result(trial_id) for trial_id in manifest.trials)
    for trial_id in manifest.trials:
        claim = claims.current(store, trial_id)
        assert claim
        assert not claim.released, "its end counts as a death"
        claim.path.write_bytes(replace(claim, holder=replace(claim.holder, started=-1)).content())
    worker.device = torch.device("cpu")
    assert worker.work().completed == 4
    assert sizes(store, manifest) == [1, 1, 1, 1], "suspects train alone"


def test_an_error_of_a_trial_on_a_healthy_gpu_is_the_trial_s(
    worker: Worker, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    worker.device = torch.device("cuda")
    monkeypatch.setattr(StackTraining, "__init__", full)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    assert worker.work().failed == len(manifest.trials)


def test_who_is_overtaken_stops_and_goes_on_with_the_others(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken, *others = manifest.trials
    run = StackTraining.run

    def endless(training: StackTraining, control: Any = None) -> Any:
        monkeypatch.setattr(StackTraining, "run", run)
        (store.folder(overtaken) / "claim.2.json").write_bytes((store.folder(overtaken) / "claim.1.json").read_bytes())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            control.after_step(training)
            time.sleep(0.01)

    monkeypatch.setattr(StackTraining, "run", endless)
    assert worker.work().completed == 3
    assert store.result(overtaken) is None
    assert all(store.has_result(trial_id) for trial_id in others)
    assert not (store.folder(overtaken) / "checkpoint.safetensors").exists()


def test_a_stop_is_obeyed_with_a_checkpoint_of_every_trial(store: Store, manifest: Manifest, worker: Worker) -> None:
    worker.heartbeat_seconds = 60
    work_until(worker, step=3)
    for trial_id in manifest.trials:
        claim = claims.current(store, trial_id)
        assert claim
        assert claim.released
        assert (store.folder(trial_id) / "checkpoint.safetensors").exists()
    worker.stop_requested.clear()
    assert worker.work().completed == 4
    logs = [(store.folder(trial_id) / "log.txt").read_text() for trial_id in manifest.trials]
    assert all("resumed at step 3" in log for log in logs)


def test_trials_at_different_steps_do_not_train_together(store: Store, manifest: Manifest, worker: Worker) -> None:
    """Two of four have a checkpoint: each pair goes on from where it is."""
    ahead = list(manifest.trials)[1:3]
    alone = replace(manifest, stacks=[ahead])
    first = Worker(store, alone, torch.device("cpu"), capture=False)
    work_until(first, step=3)
    assert worker.work().completed == 4
    assert sizes(store, manifest) == [2, 2, 2, 2]


def test_what_killed_writers_left_is_gone_when_the_trial_is_done(
    store: Store, manifest: Manifest, worker: Worker
) -> None:
    folder = store.folder(next(iter(manifest.trials)))
    folder.mkdir()
    for name in (".claim.abc", ".now.abc", ".checkpoint.safetensors.abc", ".result.json.abc"):
        (folder / name).write_text("half")
    worker.work()
    assert sorted(path.name for path in folder.iterdir()) == ["history.jsonl", "log.txt", "result.json"]


def test_a_report_that_fails_is_no_failure_of_the_trial(store: Store, manifest: Manifest) -> None:
    def gone(result: Result) -> None:
        raise BrokenPipeError

    worker = Worker(store, manifest, torch.device("cpu"), report=gone, capture=False)
    with pytest.raises(BrokenPipeError):
        worker.work()
    results = [store.result(trial_id) for trial_id in manifest.trials]
    assert [result and result.status for result in results] == ["completed"] * 4


def test_a_failure_after_being_overtaken_is_not_written(
    store: Store, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of one that has stood still, and whose trial another has finished meanwhile."""
    alone = replace(manifest, stacks=[list(manifest.trials)[:1]])
    (trial_id,) = alone.stacks[0]
    worker = Worker(store, alone, torch.device("cpu"), capture=False)

    def finished_elsewhere(training: StackTraining, control: Any = None) -> Any:
        trial = Trial.from_config(manifest.trials[trial_id])
        store.write_result(synthetic_store.completed(trial, lambda *_: 0.5), [])
        claims.clear(store, trial_id)
        raise RuntimeError("too late")

    monkeypatch.setattr(StackTraining, "run", finished_elsewhere)
    assert worker.work().trials == 0
    result = store.result(trial_id)
    assert result
    assert result.status == "completed"


def test_a_checkpoint_of_another_version_is_not_gone_on_with(store: Store, manifest: Manifest, worker: Worker) -> None:
    for trial_id in manifest.trials:
        store.folder(trial_id).mkdir()
        plain = {"step": 3, "seconds": 0.0, "history": [], "evaluations": []}
        (store.folder(trial_id) / "checkpoint.safetensors").write_bytes(pack(trial_id, {}, plain))
    assert worker.work().completed == 4
    assert "does not fit" in (store.folder(next(iter(manifest.trials))) / "log.txt").read_text()


def damage_checkpoint(store: Store, trial_id: str) -> None:
    store.folder(trial_id).mkdir(exist_ok=True)
    (store.folder(trial_id) / "checkpoint.safetensors").write_bytes(b"garbage")


@pytest.mark.parametrize("stack_size", [1, 2, 4])
def test_a_damaged_checkpoint_is_reported_in_its_own_trial_s_log_only(
    store: Store, manifest: Manifest, stack_size: int
) -> None:
    trial_ids = list(manifest.trials)
    stacks = [trial_ids[i : i + stack_size] for i in range(0, 4, stack_size)]
    damage_checkpoint(store, trial_ids[1])
    worker = Worker(store, replace(manifest, stacks=stacks), torch.device("cpu"), capture=False)
    assert worker.work().completed == 4
    logs = [(store.folder(trial_id) / "log.txt").read_text() for trial_id in trial_ids]
    assert [log.count("is damaged") for log in logs] == [0, 1, 0, 0]
    assert [log.count("starts from its beginning") for log in logs] == [0, 1, 0, 0]
    assert all(log.splitlines()[-1].endswith("completed") for log in logs)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_checkpoint_that_cannot_be_read_is_not_replaced(
    number: int, store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be whole: the training of hours that it holds is not begun again."""
    work_until(worker, step=5)
    paths = [store.folder(trial_id) / "checkpoint.safetensors" for trial_id in manifest.trials]
    before = [path.read_bytes() for path in paths]

    def refused(path: Path, at_most: int) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "read_fresh", refused)
        with pytest.raises(StoreError, match=rf"cannot read .*checkpoint.safetensors: {os.strerror(number)}: .*remove"):
            Worker(store, manifest, torch.device("cpu"), capture=False).work()
    assert [path.read_bytes() for path in paths] == before
    assert Worker(store, manifest, torch.device("cpu"), capture=False).work().completed == 4
    logs = "".join((store.folder(trial_id) / "log.txt").read_text() for trial_id in manifest.trials)
    assert "resumed at step 5" in logs
    assert "from its beginning" not in logs


def test_claims_are_renewed_while_the_trials_are_built(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's class may take longer than another host waits for a heartbeat."""
    build = Trial.from_config
    renewed = []

    def slow(config: Any) -> Trial:
        paths = [claim.path for i in manifest.trials if (claim := claims.current(store, i)) is not None]
        before = {path: path.stat().st_mtime_ns for path in paths}
        deadline = time.monotonic() + 60
        while not all(path.stat().st_mtime_ns > before[path] for path in paths):
            assert time.monotonic() < deadline, "not renewed"
            time.sleep(0.01)
        renewed.append(len(paths))
        return build(config)

    monkeypatch.setattr(Trial, "from_config", slow)
    assert worker.work().completed == 4
    assert renewed == [4] * 4


def test_a_checkpoint_is_read_once_per_attempt(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once when the stack goes on, and once more by each of the halves that it falls into."""
    work_until(worker, step=3)
    worker.stop_requested.clear()
    reads = []

    def counting(path: Path, at_most: int) -> bytes:
        reads.append(path.parent.name)
        return read_fresh(path, at_most)

    run = StackTraining.run

    def limited(training: StackTraining, control: Any = None) -> Any:
        if len(training.trials) > 2:
            assert sorted(reads) == sorted(manifest.trials)
            raise torch.OutOfMemoryError("out of memory")
        return run(training, control)

    monkeypatch.setattr(checkpoints, "read_fresh", counting)
    monkeypatch.setattr(StackTraining, "run", limited)
    assert worker.work().completed == 4
    assert sorted(reads) == sorted([*manifest.trials] * 2)
    logs = [(store.folder(trial_id) / "log.txt").read_text() for trial_id in manifest.trials]
    assert [log.count("resumed at step 3") for log in logs] == [2, 2, 2, 2]


def test_a_stack_that_trains_holds_no_checkpoint_in_memory(
    worker: Worker, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor those of the trials that are released because they stand at another step."""
    ahead = Worker(worker.store, replace(manifest, stacks=[list(manifest.trials)[:2]]), worker.device, capture=False)
    work_until(ahead, step=3)
    tensors: list[weakref.ref[torch.Tensor]] = []
    unpack, run = checkpoints.unpack, StackTraining.run

    def remembering(trial_id: str, content: bytes) -> Any:
        state = unpack(trial_id, content)
        tensors.extend(weakref.ref(tensor) for tensor in state[0].values() if tensor.ndim)  # not Adam's step
        return state

    def watched(training: StackTraining, control: Any = None) -> Any:
        in_memory.append(sum(tensor() is not None for tensor in tensors))
        return run(training, control)

    in_memory: list[int] = []
    monkeypatch.setattr(checkpoints, "unpack", remembering)
    monkeypatch.setattr(StackTraining, "run", watched)
    assert worker.work().completed == 4
    assert tensors
    assert in_memory == [0, 0]


def test_a_trial_that_fails_while_a_stop_is_asked_for_is_tried_again(
    store: Store, manifest: Manifest, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal that asks may have ended a process that the trial waited for."""
    advance = StackTraining._advance

    def broken(training: StackTraining) -> None:
        worker.stop_requested.set()
        raise RuntimeError("a process that loads data was terminated")

    monkeypatch.setattr(StackTraining, "_advance", broken)
    with pytest.raises(Interrupted):
        worker.work()
    assert not any(store.has_result(trial_id) for trial_id in manifest.trials)
    worker.stop_requested.clear()
    monkeypatch.setattr(StackTraining, "_advance", advance)
    assert worker.work().completed == 4
