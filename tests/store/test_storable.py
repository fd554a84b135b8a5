"""Whatever a worker writes, the store can read: else it writes a failure that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic_store
from commands import SMALL, launch
from irm_sweeps.errors import UserError, shortened
from irm_sweeps.files.untrusted import parse_json
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import NotStorable, Store, history_bytes, result_bytes
from irm_sweeps.store.trial_log import TrialLog
from irm_sweeps.sweep.checks import check_storable
from irm_sweeps.sweep.collect import collect
from irm_sweeps.training import loop
from irm_sweeps.training.checkpoint import BadCheckpoint, pack, unpack
from irm_sweeps.trial import Trial
from irm_sweeps.worker.outcome import failed
from irm_sweeps.worker.worker import Worker

SIZES = st.sampled_from([0, 1, 100, 19_999, 20_001, 99_999, 100_001, 8_000_000])
TEXTS = st.builds(
    lambda piece, size: (piece * (size // len(piece) + 1))[:size],
    st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=20),
    SIZES,
)


@pytest.fixture(scope="module")
def trial() -> Trial:
    (made,) = collect(SMALL)[0].values()
    return made


@given(text=TEXTS)
@settings(max_examples=25, deadline=None)
def test_any_message_of_an_error_can_be_read_back(text: str, trial: Trial) -> None:
    result = failed(trial, ValueError(text))
    content = result_bytes(result)
    assert len(content) < 2**21
    error = Result.from_values(parse_json(content)).error
    assert error is not None
    assert error.message.startswith("ValueError")


def test_a_long_message_keeps_head_and_tail() -> None:
    text = "first " + "x " * 4_000_000 + "last"
    short = shortened(text, 1000)
    assert short.startswith("first ")
    assert short.endswith("last")
    assert len(short) < 1100
    assert "characters are left out here" in short


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_error_that_cannot_say_itself_is_a_failure_too(trial: Trial) -> None:
    assert "Unspeakable" in Result.from_values(parse_json(result_bytes(failed(trial, Unspeakable())))).error.message  # type: ignore[union-attr]


@given(text=TEXTS)
@settings(max_examples=15, deadline=None)
def test_any_line_can_be_logged(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("trial")
    TrialLog([folder]).write(text)
    written = (folder / "log.txt").read_text(encoding="utf-8")
    assert len(written) < 500_000
    assert written.replace("\n", "").replace("\t", "").isprintable() or any(c.isspace() for c in written)


BAD: dict[str, Any] = {
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a large whole number": 2**64,
    "no number": "high",
    "an object": object(),
}


@pytest.mark.parametrize("bad", BAD)
def test_values_that_cannot_be_read_back_are_refused(bad: str, trial: Trial, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    result = synthetic_store.completed(trial, lambda *_: 0.5)
    scores = {"last": {"step": 1, "scores": {"test": {"0.1": {"risk": BAD[bad], "accuracy": 0.5}}}}}
    with pytest.raises(NotStorable, match="could not be read back"):
        store.write_result({**result, "metrics": scores}, [])
    with pytest.raises(NotStorable, match="row 2 of its history"):
        store.write_result(result, [{"step": 0}, {"step": 1, "scores": scores["last"]["scores"]}])
    assert not store.has_result(trial.id)
    row = {"step": 1, "scores": scores["last"]["scores"]}
    with pytest.raises(BadCheckpoint):
        pack(trial.id, {}, {"step": 1, "seconds": 0.0, "history": [], "evaluations": [row]})


def test_names_of_any_size_are_counted(trial: Trial) -> None:
    result = synthetic_store.completed(trial, lambda *_: 0.5)
    large = {"last": {"step": 1, "scores": {"test": {"x" * 17 * 2**20: {"risk": 0.5}}}}}
    with pytest.raises(NotStorable, match="more than 16,777,216"):
        result_bytes({**result, "metrics": large})
    assert history_bytes([{"step": 0, "\ud800": 1.0}])


def test_what_is_packed_can_be_unpacked(trial: Trial) -> None:
    plain = {"step": 1, "seconds": 0.0, "history": [{"step": 0, "x\ud800\x00": 1.0}], "evaluations": []}
    tensors, read = unpack(trial.id, pack(trial.id, {"w": torch.ones(2)}, plain))
    assert read["step"] == 1
    assert list(tensors) == ["w"]


@pytest.mark.parametrize("bad", ["metrics", "history"])
def test_only_the_trial_with_such_values_fails_and_is_trained_once(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    trials, _, _ = collect([f"results={store.root}", *SMALL, "seed=0,1"])
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30.0)
    manifest: Manifest = write_manifest(
        store, "sweep", {i: t.canonical for i, t in trials.items()}, [list(trials)], run
    )
    train = loop.StackTraining.run

    def spoiling(own: loop.StackTraining, *arguments: Any) -> Any:
        first, *others = train(own, *arguments)
        (first.metrics if bad == "metrics" else first.history[0])["name"] = float("nan")
        return [first, *others]

    monkeypatch.setattr(loop.StackTraining, "run", spoiling)
    tally = Worker(store, manifest, torch.device("cpu"), capture=False).work()
    assert (tally.completed, tally.failed) == (1, 1)
    first, second = (store.result(i) for i in manifest.trials)
    assert first is not None
    assert first.error is not None
    assert "the trial completed, but" in first.error.message
    assert "could not be read back" in first.error.message
    assert second is not None
    assert second.status == "completed"
    for trial_id in manifest.trials:
        assert (store.folder(trial_id) / "log.txt").read_text().count("stack of 2 on") == 1


def test_a_config_that_no_result_can_hold_is_refused_before_training(
    tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = launch("-m", f"results={tmp_path / 'r'}", *SMALL, f"seed={10**25}")
    assert "seed=" in answer.complaint
    large = {**trial.config, "dataset": {**trial.config["dataset"], "note": "x" * 2**21}}
    with monkeypatch.context() as spoiled:
        spoiled.setattr(Trial, "config", large)
        with pytest.raises(UserError, match=r"dataset\.note='x.*cannot be stored"):
            check_storable([trial])
    check_storable([trial])
