"""`irm-sweeps export`: trials that are done, in every logger, as if they had been trained with it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import SMALL, eventually, irm_sweeps, launch
from irm_sweeps.loggers.logger import build_logger, scalars
from irm_sweeps.store.archive import Archive, write_archive
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.store import Store
from logged_points import CONF, READ, read

SWEEP = [*SMALL, "method=erm,irmv1", "optimizer.lr=0.1,0.01", "training.evaluate_every=10"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a sweep that was trained without a logger."""
    results = tmp_path_factory.mktemp("stored") / "results"
    assert launch("-m", f"results={results}", *SWEEP).code == 0
    return results


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the log of W&B's own process, which outlives a run by a moment."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "debug-core.log"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def points(found: dict[str, list[tuple[int, float]]]) -> list[tuple[str, int, str]]:
    own = {tag: values for tag, values in found.items() if not tag.startswith(("summary/", "final/"))}
    return sorted((tag, step, f"{value:.5g}") for tag, values in own.items() for step, value in values)


@pytest.mark.parametrize("name", sorted(READ, key=str))
def test_a_store_that_is_done_is_exported_once(name: str, stored: Path, tmp_path: Path) -> None:
    pytest.importorskip(name)
    folder = tmp_path / name
    command = ["export", "--logger", name, "--results", str(stored), str(folder)]
    assert f": 4 runs written to {folder}\n" in irm_sweeps(*command).out
    logger = build_logger(yaml.safe_load((CONF / f"{name}.yaml").read_text()))
    rows = [json.loads(line) for path in stored.glob("*/history.jsonl") for line in path.read_text().splitlines()]
    expected = sorted((tag, row["step"], f"{value:.5g}") for row in rows for tag, value in scalars(row))

    found = points(read(logger, tmp_path, lambda one: len(points(one)) >= len(expected)))
    assert found == expected, "each value of each trial, once"
    before = content(folder)
    assert f": 0 runs written to {folder}, 4 there already\n" in irm_sweeps(*command).out
    assert content(folder) == before


def test_a_folder_below_this_one_is_named_from_here(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    command = ["export", "--logger", "tensorboard", "--results", str(stored), "deep/curves"]
    assert ": 4 runs written to deep/curves\n" in irm_sweeps(*command).out


def test_what_was_cut_short_or_has_another_end_is_written_again(stored: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    command = ["export", "--logger", "tensorboard", "--results", str(stored), str(tmp_path)]
    irm_sweeps(*command)
    records = sorted(tmp_path.rglob("logged.txt"))
    records[0].unlink()
    records[1].write_text(records[1].read_text().replace("completed", "failed"))
    assert ": 2 runs written" in irm_sweeps(*command).out
    assert len(list(tmp_path.rglob("events.out.*"))) == 4


@pytest.mark.parametrize("packed", [False, True], ids=["store", "archive"])
def test_an_export_that_is_killed_is_whole_after_the_same_command(
    packed: bool, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it writes the second run: then each trial has one run, with all its values."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    source, folder = stored, tmp_path / "mlflow"
    if packed:
        source = tmp_path / "kept.zip"
        assert irm_sweeps("pack", "-o", str(source), "--results", str(stored)).code == 0
    command = ["export", "--logger", "mlflow", "--results", str(source), str(folder)]
    with subprocess.Popen([sys.executable, "-m", "irm_sweeps", *command], stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: len(list(folder.glob("*/*/metrics"))) > 1, "two runs begun")
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    again = irm_sweeps(*command)
    assert again.code == 0, again
    runs = mlflow_runs(folder)
    assert sorted(run.info.run_name for run in runs) == sorted({run.info.run_name for run in runs})
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    logger = build_logger(yaml.safe_load((CONF / "mlflow.yaml").read_text()))
    rows = [json.loads(line) for path in stored.glob("*/history.jsonl") for line in path.read_text().splitlines()]
    expected = sorted((tag, row["step"], f"{value:.5g}") for row in rows for tag, value in scalars(row))
    assert points(read(logger, tmp_path, lambda one: len(points(one)) >= len(expected))) == expected


@pytest.mark.parametrize(
    ("name", "content", "later"),
    [
        ("meta.yaml", "", ["tags", "params", "metrics", "artifacts"]),
        ("meta.yaml", "artif", ["tags", "params", "metrics", "artifacts"]),
        (None, "", ["tags", "params", "metrics", "artifacts"]),
        ("tags/irm_sweeps.trial_id", "", ["params/*", "metrics/*"]),
        ("metrics/begun", "", []),
        ("metrics/begun", "17960", []),
    ],
)
def test_a_run_of_mlflow_that_is_half_written_is_written_again(
    name: str | None, content: str, later: list[str], stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that a process was writing when it was killed is empty; on a full disk its last line has no end."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    command = ["export", "--logger", "mlflow", "--results", str(stored), str(tmp_path)]
    irm_sweeps(*command)
    run = max(tmp_path.glob("*/*/metrics")).parent
    (run / "tags" / "irm_sweeps.status").unlink()
    meta = run / "meta.yaml"
    meta.write_text(meta.read_text().replace("status: 3", "status: 1"))  # finished, running
    for path in [path for pattern in later for path in run.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if name is not None:
        (run / name).write_text(content)
    again = irm_sweeps(*command)
    assert again.code == 0, again
    assert ": 1 run written" in again.out
    runs = mlflow_runs(tmp_path)
    assert len({run.info.run_name for run in runs}) == 4
    assert [run.info.status for run in runs] == ["FINISHED"] * 4


def mlflow_runs(folder: Path) -> list[Any]:
    """Every run in a file store of MLflow that is not deleted."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=folder.as_uri())
    return [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]


def test_tensorboard_s_hparams_have_the_names_words_and_two_metrics(stored: Path, tmp_path: Path) -> None:
    """Of every run all columns of the sweep: TensorBoard takes them from the first run that it reads."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    irm_sweeps("export", "--logger", "tensorboard", "--results", str(stored), str(tmp_path))
    (sweep,) = tmp_path.iterdir()
    runs = {path.name: EventAccumulator(str(path)) for path in sweep.iterdir()}
    assert set(runs) == {f"{method} lr={lr} seed=0" for method in ("erm", "irmv1 lam=10000") for lr in ("0.1", "0.01")}
    for name, events in runs.items():
        events.Reload()
        assert not [tag for tag in events.Tags()["scalars"] if tag.startswith("final/")]
        told = events.PluginTagToContent("hparams")
        columns = metadata.parse_experiment_plugin_data(told[metadata.EXPERIMENT_TAG])
        assert [column.name for column in columns.hparam_infos] == ["method", "lr", "seed", "lam"]
        metrics = [metric.name.tag for metric in columns.metric_infos]
        assert metrics == ["summary/train_accuracy_mean", "summary/test_accuracy_worst"]
        assert [[event.step for event in events.Scalars(tag)] for tag in metrics] == [[10, 20]] * 2
        line = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
        own = {key: value.number_value or value.string_value for key, value in line.hparams.items()}
        words = dict(word.split("=") for word in name.split()[1:])
        assert own == {"method": name.split()[0], **{key: float(word) or "" for key, word in words.items()}}


def test_an_archive_is_exported_under_the_names_that_tell_its_trials_apart(stored: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    archive = tmp_path / "shared.zip"
    assert irm_sweeps("pack", "--results", str(stored), "-o", str(archive)).code == 0
    command = ["export", "--logger", "tensorboard", "--results", str(archive)]
    assert "say which folder is to be written" in irm_sweeps(*command).complaint
    assert ": 4 runs written" in irm_sweeps(*command, str(tmp_path / "curves")).out
    assert "erm lr=0.01 seed=0" in {path.name for path in (tmp_path / "curves" / "shared").iterdir()}
    assert "shared: 0 runs" in irm_sweeps(*command, str(tmp_path / "curves")).out


def test_a_damaged_history_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    results = tmp_path / "results"
    assert launch("-m", f"results={results}", *SMALL, "seed=0,1").code == 0
    victim = Store(results).trial_ids()[0]
    (results / victim / "history.jsonl").write_text("{}\n")
    answer = irm_sweeps("export", "--logger", "tensorboard", "--results", str(results))
    assert answer.code == 1
    assert answer.err.startswith(f"left out: {results / victim / 'history.jsonl'}")
    assert ": 1 run written" in answer.out


@pytest.mark.parametrize("archived", [False, True], ids=["store", "archive"])
def test_a_damaged_result_is_named_and_the_other_is_written(
    archived: bool, trained_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    source = Path(shutil.copytree(trained_store, tmp_path / "results"))
    victim = Store(source).trial_ids()[0]
    if archived:
        source = tmp_path / "shared.zip"
        write_archive(source, Store(trained_store), Store(trained_store).trial_ids())
        whole = Archive.content
        monkeypatch.setattr(
            Archive, "content", lambda *asked: b"{" if asked[1:3] == (victim, RESULT) else whole(*asked)
        )
    else:
        (source / victim / RESULT).write_text("{")
    answer = irm_sweeps("export", "--logger", "tensorboard", "--results", str(source), str(tmp_path / "curves"))
    assert answer.code == 1
    assert answer.err.startswith(f"left out: {source / victim / RESULT}")
    assert answer.out.endswith(f": 1 run written to {tmp_path / 'curves'}\n"), "and no trial is without a result"


def test_an_archive_s_failures_and_their_tracebacks_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from commands import ROGUE, SUPPORT

    monkeypatch.syspath_prepend(SUPPORT)
    results, archive = tmp_path / "results", tmp_path / "failed.zip"
    launch("-m", f"results={results}", *ROGUE, "method.deed=raise", "seed=0,1")
    assert irm_sweeps("pack", "--results", str(results), "-o", str(archive)).code == 0
    told = irm_sweeps("failures", "--results", str(archive))
    assert told.code == 0, told
    assert told.out.startswith("2 x ")
    assert "Traceback" in told.out
    (trial_id, _) = Store(results).trial_ids()
    assert "Traceback" in irm_sweeps("logs", trial_id, "--results", str(archive)).out
    assert "which has no sweeps: leave out x" in irm_sweeps("failures", "x", "--results", str(archive)).complaint


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(trained_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").touch()
    where = str(tmp_path / "file" / "curves")
    complaint = irm_sweeps("export", "--logger", "tensorboard", "--results", str(trained_store), where).complaint
    assert where in complaint
    assert "or give another DIR, and type the command again" in complaint
