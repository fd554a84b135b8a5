"""MLflow: earlier runs of a trial, invalid names, and the final state of runs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import SMALL
from irm_sweeps.loggers.logger import Logger, Run, build_logger
from irm_sweeps.loggers.mlflow import fit
from irm_sweeps.sweep.collect import collect
from irm_sweeps.worker.log_forwarding import LogForwarder
from irm_sweeps.worker.shared_logger import SharedLogger

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
YAML = Path(__file__).parents[2] / "conf" / "logger" / "mlflow.yaml"


@pytest.fixture
def logger(tmp_path: Path) -> Logger:
    return build_logger(yaml.safe_load(YAML.read_text())).within(tmp_path)


def run(root: Path, trial_id: str = "0123456789abcdef", sweep: str = "sweep-1") -> Run:
    folder = root / trial_id
    folder.mkdir(exist_ok=True)
    return Run(trial_id, f"ERM_{trial_id[:8]}", sweep, {"lam": 1.0}, folder)


def logged(logger: Logger, own: Run, value: float) -> None:
    stream = logger.open(own)
    stream.write(0, {"penalty": value})
    stream.close("completed", {})


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=(root / "mlflow").as_uri())


def runs(root: Path) -> list[Any]:
    """Every run that is not deleted."""
    own = client(root)
    return [found for e in own.search_experiments() for found in own.search_runs([e.experiment_id])]


def penalties(root: Path) -> list[float]:
    return sorted(found.data.metrics["penalty"] for found in runs(root))


def test_the_earlier_run_is_found_without_a_search(
    logger: Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which would read every run that there is, for every trial; and in whichever sweep it was made."""
    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.search_runs", None)
        logged(logger, run(tmp_path), 1.0)
        logged(logger, run(tmp_path, "f" * 16), 2.0)
        logged(logger, run(tmp_path, sweep="sweep-2"), 3.0)
    assert penalties(tmp_path) == [2.0, 3.0]


def test_a_run_that_was_deleted_by_hand_is_no_trouble(logger: Logger, tmp_path: Path) -> None:
    """In the user interface, or with its files."""
    for value, remove in enumerate([client(tmp_path).delete_run, lambda run_id: shutil.rmtree(files_of(run_id))]):
        logged(logger, run(tmp_path), float(value))

        def files_of(run_id: str) -> Path:
            (found,) = (tmp_path / "mlflow").glob(f"*/{run_id}")
            return found

        (found,) = runs(tmp_path)
        remove(found.info.run_id)
        assert runs(tmp_path) == []
    logged(logger, run(tmp_path), 7.0)
    assert penalties(tmp_path) == [7.0]


@pytest.mark.parametrize("content", [b"", bytes(99)])
def test_an_earlier_run_that_was_cut_short_is_no_trouble(logger: Logger, tmp_path: Path, content: bytes) -> None:
    """By a power cut: MLflow then fails with errors of Python or of the YAML reader."""
    logged(logger, run(tmp_path), 1.0)
    (meta,) = (tmp_path / "mlflow").glob(f"*/{runs(tmp_path)[0].info.run_id}/meta.yaml")
    meta.write_bytes(content)
    logged(logger, run(tmp_path), 2.0)
    meta.unlink()
    assert penalties(tmp_path) == [2.0]


def test_a_run_that_cannot_be_begun_is_ended(logger: Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **named: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.log_batch", full)
        with pytest.raises(OSError, match="full"):
            logger.open(run(tmp_path))
    (found,) = runs(tmp_path)
    assert found.info.status == "FAILED"


def cut_short(root: Path, own: Run) -> str:
    """Leave what a process leaves that is killed while it creates the run, before the run's tags are written."""
    mine = client(root)
    found = mine.get_experiment_by_name(own.sweep)
    experiment = found.experiment_id if found else mine.create_experiment(own.sweep)
    run_id: str = mine.create_run(experiment, run_name=own.name).info.run_id
    return run_id


def test_a_run_whose_creation_was_killed_is_discarded(logger: Logger, tmp_path: Path) -> None:
    own, other = run(tmp_path), run(tmp_path, "fedcba9876543210")
    logged(logger, own, 1.0)
    cut_short(tmp_path, own)
    kept = cut_short(tmp_path, other)
    logger.discard([own])
    assert [found.info.run_id for found in runs(tmp_path)] == [kept], "another trial's"


def test_only_where_something_is_half_written_its_end_is_waited_for(
    logger: Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may be writing it."""
    own, waits = run(tmp_path), []
    logged(logger, own, 1.0)
    (metric,) = (tmp_path / "mlflow").glob("*/*/metrics/penalty")
    whole = metric.read_text()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        metric.write_text(whole)

    monkeypatch.setattr("time.sleep", wait)
    metric.write_text("no metric\n")
    with pytest.raises(Exception, match="invalid"):
        logger.closed([own])
    assert waits == []
    metric.write_text("17960")
    assert logger.closed([own]) == {own.trial_id: "completed"}
    assert len(waits) == 1
    assert metric.read_text() == whole


def test_a_run_of_the_same_name_that_somebody_else_has_made_stays(logger: Logger, tmp_path: Path) -> None:
    own = run(tmp_path)
    finished, used = cut_short(tmp_path, own), cut_short(tmp_path, own)
    client(tmp_path).set_terminated(finished)
    client(tmp_path).log_param(used, "mine", "1")
    logger.discard([own])
    assert {found.info.run_id for found in runs(tmp_path)} == {finished, used}


def test_another_trial_s_run_is_not_deleted(logger: Logger, tmp_path: Path) -> None:
    """Whatever somebody has written into the file that names the earlier run; a link is not written through."""
    victim = run(tmp_path, "f" * 16)
    logged(logger, victim, 1.0)
    (id_file,) = victim.folder.iterdir()
    named = id_file.read_text()
    for content in (named.encode(), b"../../x", b"\xff\n"):
        (run(tmp_path).folder / id_file.name).write_bytes(content)
        logged(logger, run(tmp_path), 2.0)
    assert 1.0 in penalties(tmp_path)
    own = run(tmp_path, "a" * 16)
    (own.folder / id_file.name).symlink_to(id_file)
    logged(logger, own, 3.0)
    assert id_file.read_text() == named


@pytest.mark.parametrize("name", ["penalty", "test/p_e 0.2/risk", "a:b-c.d_e", "é", "x" * 250, ".hidden"])
def test_names_that_mlflow_takes_stay(name: str) -> None:
    assert fit(name) == name


@pytest.mark.parametrize("name", ["p_e=0.2", "", ".", "..", "../x", "/x", "x/", "a//b", "a/./b", "a\nb", "x" * 251])
def test_other_names_are_made_to_fit(name: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_metric

    with pytest.raises(MlflowException):
        _validate_metric(name, 1.0, 0, 0)
    _validate_metric(fit(name), 1.0, 0, 0)
    assert len(fit(name).encode()) <= 250


@pytest.mark.parametrize("refused", ["penalty", "final/last/penalty"])
def test_a_run_ends_as_its_trial_though_mlflow_refuses_a_value(
    refused: str, logger: Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its history, or of its result."""
    take = type(client(tmp_path)).log_batch

    def log_batch(own: Any, run_id: str, metrics: Any = (), **more: Any) -> None:
        if refused in [metric.key for metric in metrics]:
            raise OSError("no space left")
        take(own, run_id, metrics=metrics, **more)

    monkeypatch.setattr("mlflow.MlflowClient.log_batch", log_batch)
    (trial,) = collect(SMALL)[0].values()
    (tmp_path / trial.id).mkdir()
    said: list[str] = []
    values = logger.model_dump(mode="json", by_alias=True)
    forwarder = LogForwarder(SharedLogger(values), "sweep", said.append, lambda trial_id: tmp_path / trial_id, str)
    result = {"status": "completed", "metrics": {"last": {"penalty": 1.0}}}
    forwarder.finish(trial, [{"step": 0, "penalty": 1.0}], result)
    (found,) = runs(tmp_path)
    assert found.info.status == "FINISHED"
    assert found.data.tags["irm_sweeps.status"] == "completed"
    assert len(said) == 1


def test_files_are_all_that_it_writes(tmp_path: Path) -> None:
    """MLflow reports each use of it over the network, except in tests: asked outside of one."""
    asks = (
        "import sys, yaml; from pathlib import Path; from irm_sweeps.loggers.logger import build_logger\n"
        "build_logger(yaml.safe_load(Path(sys.argv[1]).read_text())).check()\n"
        "from mlflow.telemetry.client import get_telemetry_client; print(get_telemetry_client())"
    )
    bare = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    answer = subprocess.run(
        [sys.executable, "-c", asks, str(YAML)], capture_output=True, text=True, cwd=tmp_path, env=bare, timeout=120
    )
    assert answer.stdout == "None\n", answer
