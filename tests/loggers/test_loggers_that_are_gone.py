"""A logger that hangs, or whose server is gone: it costs a bounded time, and no trial is trained twice."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import irm_sweeps.loggers.none
from commands import SMALL, launch
from irm_sweeps.errors import UserError
from irm_sweeps.loggers.logger import Logger, Run, Stream
from irm_sweeps.store import claims
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep import checks
from irm_sweeps.sweep.collect import collect
from irm_sweeps.worker import shared_logger
from irm_sweeps.worker.worker import Worker

CALLED: list[tuple[str, bool]] = []
"""Each call of a stuck logger, and whether all trials had their results then."""
STORE: list[Store] = []
AT_CLOSE: list[bool] = []


class Stuck(Logger):
    """Does not return from one of its calls, or takes a while for each."""

    at: str = ""
    seconds: float = 3600

    def check(self) -> None:
        self.pause("check")

    def pause(self, call: str) -> None:
        CALLED.append((call, all(map(STORE[0].has_result, STORE[0].trial_ids())) if STORE else False))
        if call == self.at or self.at == "every":
            threading.Event().wait(self.seconds)

    def open(self, run: Run) -> Stream:
        self.pause("open")
        return _StuckRun(self)


class _StuckRun(Stream):
    def __init__(self, logger: Stuck) -> None:
        self.logger = logger

    def write(self, step: int, values: Any) -> None:
        self.logger.pause("write")

    def close(self, status: str, final: Any) -> None:
        self.logger.pause(f"close {status}")


@pytest.fixture(autouse=True)
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(irm_sweeps.loggers.none, "Stuck", Stuck, raising=False)
    monkeypatch.setattr(shared_logger, "CALL_SECONDS", 1.0)
    yield
    CALLED.clear()
    STORE.clear()


def sweep(root: Path, stack: int, at: str, seconds: float = 3600) -> tuple[Worker, Manifest, Store]:
    """A worker on four trials, with claims that are renewed all the time."""
    store = Store(root)
    store.prepare()
    trials, _, _ = collect([f"results={root}", *SMALL, "seed=range(0,4)"])
    ids = list(trials)
    logger = {"_target_": "irm_sweeps.loggers.none.Stuck", "at": at, "seconds": seconds}
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=0.001, logger=logger)
    stacks = [ids[i : i + stack] for i in range(0, 4, stack)]
    manifest = write_manifest(store, "sweep", {i: t.canonical for i, t in trials.items()}, stacks, run)
    STORE.append(store)
    return Worker(store, manifest, torch.device("cpu"), capture=False, heartbeat_seconds=0.02), manifest, store


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("at", ["open", "write", "close completed"])
def test_a_logger_that_hangs_costs_one_bound_for_all_trials(tmp_path: Path, at: str, stack: int) -> None:
    worker, manifest, store = sweep(tmp_path / "results", stack, at)
    began = time.monotonic()
    assert worker.work().completed == 4
    assert time.monotonic() - began < 30
    assert [call for call, _ in CALLED].count(at) == 1, "no later stack asks it again"
    for trial_id in manifest.trials:
        (line,) = [s for s in (store.folder(trial_id) / "log.txt").read_text().splitlines() if "the logger" in s]
        assert "has not returned within 1 s" in line


def test_a_slow_logger_is_given_up(tmp_path: Path) -> None:
    worker, manifest, store = sweep(tmp_path / "results", 1, "every", seconds=0.2)
    assert worker.work().completed == 4
    assert len(CALLED) <= 12
    log = (store.folder(list(manifest.trials)[-1]) / "log.txt").read_text()
    assert "its last 10 calls took 2 s" in log


def test_the_results_of_the_stack_are_written_before_the_logger_hears_of_an_end(tmp_path: Path) -> None:
    worker, _, _ = sweep(tmp_path / "results", 4, "")
    assert worker.work().completed == 4
    ends = [complete for call, complete in CALLED if call.startswith("close")]
    assert ends == [True] * 4


def test_claims_are_renewed_until_the_last_result_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the time that the first result takes; and a claim that was removed does not come back."""
    worker, manifest, store = sweep(tmp_path / "results", 4, "")
    write, renewed = Store.write_result, []

    def slow(own: Store, *arguments: Any) -> bool:
        open_claims = [claims.current(own, i) for i in manifest.trials if not own.has_result(i)]
        before = {c.path: c.path.stat().st_mtime_ns for c in open_claims if c}
        deadline = time.monotonic() + 60
        while any(path.stat().st_mtime_ns == old for path, old in before.items()):
            assert time.monotonic() < deadline, "not renewed"
            time.sleep(0.01)
        renewed.append(len(before))
        return write(own, *arguments)

    monkeypatch.setattr(Store, "write_result", slow)
    assert worker.work().completed == 4
    assert renewed == [4, 3, 2, 1]
    assert list(store.root.glob("*/claim.*")) == []


def test_a_check_that_hangs_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LOGGER_CHECK_SECONDS", 0.5)
    settings = collect([f"results={tmp_path}", *SMALL])[1]
    values = {"_target_": "irm_sweeps.loggers.none.Stuck", "at": "check"}
    with pytest.raises(UserError, match=r"Stuck': its check hangs .*0\.5 s.*logger=none"):
        checks.checked_logger(settings.model_copy(update={"logger": values}))


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
@pytest.mark.parametrize("listens", [False, True])
def test_an_mlflow_server_that_does_not_answer_is_one_line(
    listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether nothing listens on its port, or what listens says nothing."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not listens:
            server.close()
        began = time.monotonic()
        answer = launch("-m", f"results={tmp_path / 'r'}", *SMALL, "logger=mlflow", f"logger.tracking_uri={uri}")
    assert f"logger.tracking_uri='{uri}': no MLflow server answers there" in answer.complaint
    assert "logger=none" in answer.complaint
    assert time.monotonic() - began < 60
    assert not (tmp_path / "r").exists()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1", "what the user has set stays"
