"""Jumping clocks of the store or of a host: a live worker keeps its trial, a dead one loses it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from commands import SMALL
from irm_sweeps.commands.sweep_status import sweep_status
from irm_sweeps.store import claims, liveness
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.liveness import HEARTBEAT_SECONDS, STALE_SECONDS
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.worker.stack_run import StackRun
from irm_sweeps.worker.worker import Worker

HOUR = 3600.0


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


@pytest.fixture
def manifest(store: Store) -> Manifest:
    trials, _, _ = collect([f"results={store.root}", *SMALL])
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    return write_manifest(store, "sweep", {i: t.canonical for i, t in trials.items()}, [list(trials)], run)


@pytest.fixture
def elsewhere(store: Store, manifest: Manifest) -> Claim:
    """A claim on the sweep's one trial whose holder is on another host."""
    claim = claims.acquire(store, next(iter(manifest.trials)), manifest.launch, 20, 1)
    assert claim
    far = replace(claim, holder=replace(claim.holder, host="far", machine="far"))
    far.path.write_bytes(far.content())
    return far


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let this process's own time pass, which nobody can set."""
    passed = [0.0]
    real = time.monotonic
    monkeypatch.setattr(liveness.time, "monotonic", lambda: real() + passed[0])

    def let_pass(seconds: float) -> None:
        passed[0] += seconds

    return let_pass


def heartbeat(claim: Claim, seconds_ahead: float) -> None:
    """Renew a claim when the store's clock was so far ahead of what it is now."""
    when = time.time() + seconds_ahead
    os.utime(claim.path, (when, when))


def test_a_holder_whose_heartbeats_come_from_the_future_keeps_its_trial(
    elsewhere: Claim, pass_time: Callable[[float], None]
) -> None:
    """The store's clock was set back: they still come."""
    for beat in range(20):
        heartbeat(elsewhere, HOUR + beat)
        assert elsewhere.is_in_force()
        pass_time(HEARTBEAT_SECONDS)


def test_a_dead_holder_whose_last_heartbeat_lies_in_the_future_loses_its_trial(
    elsewhere: Claim, pass_time: Callable[[float], None]
) -> None:
    heartbeat(elsewhere, HOUR)
    for _ in range(int(STALE_SECONDS / HEARTBEAT_SECONDS)):
        assert elsewhere.is_in_force()
        assert elsewhere.is_doubtful(), "a worker waits and sees"
        pass_time(HEARTBEAT_SECONDS)
    assert not elsewhere.is_in_force()


def test_a_worker_waits_for_what_the_future_holds_and_then_takes_it(
    store: Store, manifest: Manifest, elsewhere: Claim, pass_time: Callable[[float], None]
) -> None:
    heartbeat(elsewhere, HOUR)
    worker = Worker(store, manifest, torch.device("cpu"), capture=False)
    waits = []

    def waited(seconds: float) -> bool:
        waits.append(seconds)
        pass_time(seconds)
        return False

    worker.stop_requested.wait = waited
    assert len(sweep_status(store, manifest).running) == 1
    assert worker.work().completed == 1
    assert sum(waits) == pytest.approx(STALE_SECONDS, abs=2 * HEARTBEAT_SECONDS)


def test_a_store_whose_clock_leaps_ahead_costs_a_takeover_and_no_result(
    store: Store, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one heartbeat the living look dead. Who is overtaken sees it, and the trial has one result."""
    (trial_id,) = manifest.trials
    worker = Worker(store, manifest, torch.device("cpu"), capture=False, heartbeat_seconds=0.02)
    overtaker = Worker(store, manifest, torch.device("cpu"), capture=False)
    train, overtaken = StackRun.train, []

    def meanwhile(run, *arguments):
        monkeypatch.setattr(StackRun, "train", train)
        (claim,) = (held_trial.claim for held_trial in run.held)
        claim.path.write_bytes(replace(claim, holder=replace(claim.holder, host="far", machine="far")).content())
        heartbeat(claim, -24 * HOUR)
        overtaken.append(overtaker.work().completed)
        train(run, *arguments)

    monkeypatch.setattr(StackRun, "train", meanwhile)
    assert worker.work().trials == 0
    assert overtaken == [1]
    assert store.has_result(trial_id)
    assert [path.name for path in store.folder(trial_id).glob("claim.*")] == []
