"""The time left: whole stacks on workers, by results and by the steps of running trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import synthetic_store
from commands import irm_sweeps
from irm_sweeps.store import claims
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.forecast import Forecast, LaunchForecast
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.schedule import wall_time
from irm_sweeps.trial import Trial
from irm_sweeps.worker.heartbeat import Heartbeat

GRID = ["method=irmv1", "dataset.source=embedded", "dataset.n_train=40", "backbone.width=8", "training.steps=100"]


@pytest.mark.parametrize(
    ("waiting", "workers", "running", "seconds"),
    [
        ([612.5] * 3, 2, [], 1225.0),  # 20:25, two rounds, not 15:19
        ([10.0] * 4, 2, [], 20.0),
        ([1.0, 1.0, 8.0], 2, [], 9.0),  # in the order in which they start, not the longest first
        ([8.0, 1.0, 1.0], 2, [], 8.0),
        ([10.0], 2, [4.0, 9.0], 14.0),
        ([10.0], 3, [4.0, 9.0], 10.0),
        ([], 2, [4.0, 9.0], 9.0),
        ([5.0], 1, [4.0, 9.0], 9.0),  # more workers than this launch has started
        ([], 4, [], 0.0),
        ([5.0, 5.0], 0, [], 10.0),
    ],
)
def test_stacks_are_whole(waiting: list[float], workers: int, running: list[float], seconds: float) -> None:
    assert wall_time(waiting, workers, running) == seconds


def swept(store: Store, *overrides: str, seeds: int = 3, stack: int = 1) -> tuple[Manifest, list[Trial]]:
    """Write the manifest of a sweep of equal trials."""
    store.prepare()
    own = list(trials([*GRID, *overrides, f"seed=range(0,{seeds})"]).values())
    ids = [trial.id for trial in own]
    stacks = [ids[i : i + stack] for i in range(0, len(ids), stack)]
    settings = RunSettings(data_dir="data", device="cpu", on_error="continue", checkpoint_seconds=30.0)
    return write_manifest(store, "sweep", {trial.id: trial.canonical for trial in own}, stacks, settings), own


def train(store: Store, trial: Trial, **values: Any) -> Claim:
    """Claim a trial, and say how far it is."""
    claim = claims.acquire(store, trial.id, "launch", 100, values.pop("stack", 1))
    assert claim is not None
    claim = replace(claim, **values)
    claim.path.write_bytes(claim.content())
    return claim


def completed(trial: Trial, seconds: float) -> dict[str, Any]:
    values = synthetic_store.completed(trial, lambda *_: 0.5)
    return {**values, "timing": {"seconds": seconds, "stack_size": 1}}


def left(manifest: Manifest, running: Mapping[str, Claim], workers: int, *done: dict[str, Any]) -> float | None:
    forecast = Forecast(manifest)
    for result in done:
        forecast.add(Result.from_values(result))
    return forecast.seconds_left(running, workers)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_the_steps_of_running_trials_tell_before_any_is_done(store: Store) -> None:
    """Two at step 40 and 60 of 100, two seconds a step, and a third that waits for the first of them to end."""
    manifest, own = swept(store)
    running = {
        trial.id: train(store, trial, step=step, seconds_per_step=2.0, seconds_since_step=0.0)
        for trial, step in zip(own, (40, 60), strict=False)
    }
    assert left(manifest, running, 2) == pytest.approx(80 + 200, abs=2)
    assert left(manifest, running, 3) == pytest.approx(200, abs=2)


def test_a_running_stack_has_one_rate_and_a_waiting_one_its_size(store: Store) -> None:
    manifest, own = swept(store, seeds=6, stack=2)
    running = {
        trial.id: train(store, trial, step=50, seconds_per_step=1.0, seconds_since_step=0.0, stack=2)
        for trial in own[:2]
    }
    assert left(manifest, running, 1) == pytest.approx(50 + 2 * 100, abs=2)


def test_results_price_what_waits(store: Store) -> None:
    manifest, own = swept(store, seeds=4)
    running = {own[1].id: train(store, own[1])}
    assert left(manifest, running, 1) is None
    assert left(manifest, running, 1, completed(own[0], 30.0)) == pytest.approx(90)
    assert left(manifest, running, 2, completed(own[0], 30.0)) == pytest.approx(60)


def test_a_trial_of_another_kind_has_its_own_price(store: Store) -> None:
    manifest, own = swept(store, "backbone.width=8,16", seeds=2)
    by_width = {width: [t for t in own if t.canonical["backbone"]["width"] == width] for width in (8, 16)}
    done = [completed(by_width[8][0], 10.0), completed(by_width[16][0], 50.0)]
    assert left(manifest, {}, 1, *done) == pytest.approx(60)
    assert left(manifest, {}, 1, *done[:1]) == pytest.approx(30), "what is not known is as long as the rest"


def test_the_first_step_is_no_part_of_the_rate(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what came before it: here imports and data took 1,000 seconds, and the compiler 500."""
    _, own = swept(store)
    now = [0.0]
    monkeypatch.setattr("irm_sweeps.worker.heartbeat.time.monotonic", lambda: now[0])
    heartbeat = Heartbeat([train(store, own[0])], [], seconds=1e6, write_log=lambda _: None)
    for now[0], step in ((1500.0, 1), (1502.0, 2), (1506.0, 3)):
        heartbeat.note_step(step, 100)
    heartbeat._renew()
    renewed = claims.current(store, own[0].id)
    assert renewed is not None
    assert renewed.seconds_per_step == pytest.approx(3.0)


def test_status_counts_rounds(store: Store) -> None:
    _, own = swept(store)
    for trial in own[:2]:
        train(store, trial, step=50, seconds_per_step=6.0, seconds_since_step=0.0)
    # Both claims are of this one process: a single worker, and the waiting trial comes after the two.
    told = irm_sweeps("status", "--results", str(store.root)).out
    assert "2 running, 1 to do" in told
    assert "about 15:00 left" in told or "about 14:59 left" in told


def test_a_claim_of_an_earlier_version_has_no_rate(store: Store) -> None:
    _, own = swept(store)
    claim = train(store, own[0], step=50)
    text = claim.path.read_text().replace('"seconds_per_step"', '"other"')
    claim.path.write_text(text)
    read = claims.current(store, own[0].id)
    assert read is not None
    assert read.seconds_per_step is None
    assert "1 running, 2 to do" in irm_sweeps("status", "--results", str(store.root)).out


def test_progress_tells_the_time_of_what_runs_before_a_result(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, own = swept(store)
    train(store, own[0], step=40, seconds_per_step=2.0, seconds_since_step=0.0)
    with Progress(3, manifest.labels, LaunchForecast(store, manifest, 2)) as progress:
        progress.look()
        assert capsys.readouterr().out == "", "not at once"
        monkeypatch.setattr(Progress, "SILENT_SECONDS", 0.0)
        progress.look()
    out = capsys.readouterr().out
    assert out in ("[0/3] 5:20 left  training, at step 40/100\n", "[0/3] 5:19 left  training, at step 40/100\n")


def test_progress_sees_what_others_have_finished(store: Store) -> None:
    manifest, own = swept(store)
    forecast = LaunchForecast(store, manifest, 2)
    assert forecast.seconds_left() is None
    synthetic_store.write(store.root, completed(own[0], 30.0), completed(own[1], 30.0))
    forecast._due = 0.0
    assert forecast.seconds_left() == pytest.approx(30)
