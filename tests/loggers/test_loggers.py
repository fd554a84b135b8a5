"""The contract suite over all loggers, and a worker's reaction to a logger that fails."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import irm_sweeps.loggers.none
from commands import SMALL, launch, outcomes
from interruptions import work_until
from irm_sweeps.errors import UserError
from irm_sweeps.loggers.logger import Logger, Run, Stream, build_logger, keys_of, run_name, scalars
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.worker.log_forwarding import LogForwarder
from irm_sweeps.worker.shared_logger import SharedLogger
from irm_sweeps.worker.worker import Worker
from logged_points import CONF, READ, Points, read

NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store whose path is no URI as it stands."""
    return tmp_path / "results #1 é?, 50%41"


@pytest.fixture
def logger(request: pytest.FixtureRequest, root: Path) -> Logger:
    """A logger with its YAML's values; skipped where its package is not installed."""
    made = build_logger(yaml.safe_load((CONF / f"{request.param}.yaml").read_text()))
    if made.package is not None and importlib.util.find_spec(made.package) is None:
        pytest.skip(f"{made.package} is not installed")
    return made.within(root)


def run_in(root: Path, i: int = 0) -> Run:
    """A run whose trial has a folder."""
    folder = root / f"{i:016x}"
    folder.mkdir(parents=True, exist_ok=True)
    return Run(folder.name, f"IRMv1_lam=100_seed={i}", "sweep-1", {"lam": 100.0, "method": {"on=": "output"}}, folder)


every = pytest.mark.parametrize("logger", NAMES, indirect=True)


# -- the contract -------------------------------------------------------------------------------------


def test_every_logger_has_a_reader_here() -> None:
    packages = {yaml.safe_load((CONF / f"{name}.yaml").read_text())["_target_"].split(".")[2] for name in NAMES}
    assert packages - {"none"} == set(READ)


@every
def test_a_run_holds_each_value_once_however_often_it_is_started(logger: Logger, root: Path) -> None:
    logger.check()
    for attempt in range(2):
        stream = logger.open(run_in(root))
        stream.write(0, {"risks/0": 0.7, "penalty": 3.0})
        stream.write(10, {"risks/0": 0.6})
        if attempt == 0:
            stream.close("interrupted", {})
    stream.write(10, {"test/0.9/accuracy": 0.5})
    stream.write(20, {"risks/0": 0.5})
    stream.close("completed", {"last/test/0.9/accuracy": 0.66})
    if logger.package is None:
        return
    found = read(logger, root, lambda points: (20, 0.5) in points.get("risks/0", []))
    assert [(s, pytest.approx(v)) for s, v in sorted(found["risks/0"])] == [(0, 0.7), (10, 0.6), (20, 0.5)]
    assert found["penalty"] == [(0, pytest.approx(3.0))]
    assert found["test/0.9/accuracy"] == [(10, pytest.approx(0.5))]


@every
def test_any_name_of_an_environment_will_do(logger: Logger, root: Path) -> None:
    """And two names that differ stay two."""
    environments = ["p_e=0.2", "p_e_0.2", "p_e>0.2", "a, b (é)", "50 %", "./x", "..", "x" * 300]
    names = {f"test/{name}/accuracy": i / 8 for i, name in enumerate(environments)}
    stream = logger.open(run_in(root))
    stream.write(10, names)
    stream.close("completed", {f"last/{name}": value for name, value in names.items()})
    if logger.package is not None:

        def values(points: Points) -> list[float]:
            return sorted(v for n, own in points.items() if n.startswith("test/") for step, v in own if step == 10)

        found = read(logger, root, lambda points: len(values(points)) == len(names))
        assert values(found) == sorted(names.values())
        assert len([name for name in found if name.startswith("test/")]) == len(names)
        assert found["test/p_e_0.2/accuracy"] == [(10, 1 / 8)], "a name that needs no change has none"


@every
def test_several_runs_are_open_at_a_time(logger: Logger, root: Path) -> None:
    """As those of a stack's trials are."""
    streams = [logger.open(run_in(root, i)) for i in range(3)]
    for i, stream in enumerate(streams):
        stream.write(0, {f"risks/{i}": float(i)})
    for stream in streams:
        stream.close("completed", {})
    if logger.package is not None:
        found = read(logger, root, lambda points: len({n for n in points if n.startswith("risks/")}) == 3)
        assert [found[f"risks/{i}"] for i in range(3)] == [[(0, float(i))] for i in range(3)]


@every
def test_a_sweep_s_results_are_those_without_a_logger(
    logger: Logger, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["logger"]
    sweep = [*SMALL, "method=irmv1", "lam=3", "seed=0,1", "stack=2"]
    assert launch("-m", f"results={tmp_path / 'bare'}", *sweep).code == 0
    answer = launch("-m", f"results='{root}'", *sweep, f"logger={name}")
    assert answer.code == 0, answer
    plain, logged = ({r.trial_id: r.raw for r in Store(own).results()} for own in (tmp_path / "bare", root))
    assert outcomes(plain) == outcomes(logged)
    assert all("logger failed" not in (root / trial_id / "log.txt").read_text() for trial_id in logged)
    assert {path.name for path in tmp_path.iterdir()} == {"bare", root.name}, "and nothing beside the store"
    if logger.package is not None:
        files = [root / trial_id / "history.jsonl" for trial_id in logged]
        rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        expected = {(tag, row["step"], f"{value:.5g}") for row in rows for tag, value in scalars(row)}

        def complete(points: Points) -> bool:
            return expected <= {(tag, step, f"{value:.5g}") for tag in points for step, value in points[tag]}

        found = read(logger, root, complete)
        assert len(found["penalty"]) == len(logged) * len({row["step"] for row in rows if "penalty" in row})


# -- mistakes, before anything trains -----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(READ, key=str))
def test_a_package_that_is_not_installed_is_a_clear_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_logger(yaml.safe_load((CONF / f"{name}.yaml").read_text()))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"logger={name}: .*pip install 'irm-sweeps\[{name}\]', or say logger=none"):
        made.check()


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_the_complaint_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    results = tmp_path / "results"
    answer = launch("-m", f"results={results}", *SMALL, "logger=wandb")
    assert "pip install 'irm-sweeps[wandb]'" in answer.complaint
    assert not results.exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["logger=tensorbord"], "did you mean `tensorboard`"),
        (["logger=wandb", "logger.mode=sometimes"], "logger.mode='sometimes'"),
        (["logger=tensorboard", "logger.folder=x"], "logger.folder"),
        (["logger=none,tensorboard"], "one value for all trials"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, overrides: list[str], words: str) -> None:
    assert words in launch("-m", f"results={tmp_path / 'results'}", *SMALL, *overrides).complaint


def test_a_logger_is_no_part_of_a_trial_s_identity(tmp_path: Path) -> None:
    with_one = collect([*SMALL, "logger=tensorboard", f"logger.directory={tmp_path}"])[0]
    assert list(with_one) == list(collect(SMALL)[0])
    paper, settings, _ = collect(["paper=demo", "logger=tensorboard", f"logger.directory={tmp_path}"])
    assert list(paper) == list(collect(["paper=demo"])[0])
    assert settings.logger is not None
    assert settings.logger["directory"] == str(tmp_path)


def test_run_names_are_readable() -> None:
    label, trial_id = "irmv1 lam=100 lr=1e+30 on=[a,b] seed=3", "0094c56200000000"
    assert run_name(label, trial_id) == label, "as it is typed"
    assert run_name("erm path=../a/b seed=3", trial_id) == "erm path=.._a_b seed=3 0094c562", "a name of one file"
    assert len(run_name("é" * 300, trial_id).encode()) <= 255


def test_a_run_s_name_is_read_by_key() -> None:
    name = 'irmv1 grayscale lam=100 note="a b" seed=3'
    run = Run("0" * 16, name, "sweep", {}, Path())
    assert run.words() == {"method": "irmv1", "grayscale": "", "lam": "100", "note": '"a b"', "seed": "3"}
    assert keys_of(["erm seed=0", name]) == ["seed", "grayscale", "lam", "note"]


def test_scalars_of_a_row() -> None:
    row = {"step": 3, "risks": [0.5, None], "scores": {"test": {"0.9": {"risk": 0.7, "accuracy": None}}}, "penalty": 2}
    assert dict(scalars(row)) == {"risks/0": 0.5, "test/0.9/risk": 0.7, "penalty": 2.0}
    chosen = {"last": {"step": 500, "scores": {"test": {"0.9": {"accuracy": 0.6}}}}}
    assert dict(scalars(chosen)) == {"last/test/0.9/accuracy": 0.6}


# -- a worker and its logger --------------------------------------------------------------------------


class Recorder(Logger):
    """Keeps what it is told; fails where it is asked to."""

    fails: str = ""

    def open(self, run: Run) -> Stream:
        TOLD.append(("open", run.name))
        if self.fails == "open":
            raise SystemExit("no space left")
        return _Recording(self.fails)


class _Recording(Stream):
    def __init__(self, fails: str) -> None:
        self.fails = fails

    def write(self, step: int, values: dict[str, float]) -> None:  # type: ignore[override]
        TOLD.append(("write", step))
        if self.fails == "write":
            raise OSError("no space left")

    def close(self, status: str, final: dict[str, float]) -> None:  # type: ignore[override]
        TOLD.append(("close", status))
        if self.fails == "close":
            raise RuntimeError("no space left")


TOLD: list[tuple[str, Any]] = []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    TOLD.clear()
    monkeypatch.setattr(irm_sweeps.loggers.none, "Recorder", Recorder, raising=False)
    return TOLD


def worker(root: Path, fails: str = "") -> tuple[Worker, Manifest, Store]:
    store = Store(root)
    store.prepare()
    trials, _, _ = collect([f"results={root}", *SMALL, "training.log_every=5"])
    logger = {"_target_": "irm_sweeps.loggers.none.Recorder", "fails": fails}
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30.0, logger=logger)
    manifest = write_manifest(store, "sweep", {i: t.canonical for i, t in trials.items()}, [list(trials)], run)
    return Worker(store, manifest, torch.device("cpu"), capture=False), manifest, store


def test_a_run_has_its_trials_name_within_the_sweep(tmp_path: Path, told: list[tuple[str, Any]]) -> None:
    one, manifest, store = worker(tmp_path / "results")
    (trial_id,) = manifest.trials
    named = replace(manifest, labels={trial_id: "erm lr=0.01 seed=0"})
    Worker(store, named, one.device, capture=False).work()
    assert told[0] == ("open", "erm lr=0.01 seed=0")


ROWS = [("write", 0), ("write", 5), ("write", 10), ("write", 15), ("write", 20)]


def test_a_trial_is_logged_once_and_whole(tmp_path: Path, told: list[tuple[str, Any]]) -> None:
    made, _, _ = worker(tmp_path / "results")
    made.checkpoint_seconds = 0
    assert made.work().completed == 1
    assert [what for what, _ in told] == ["open", *["write"] * 5, "close"]
    assert told[1:] == [*ROWS, ("close", "completed")]


def test_what_a_logger_does_to_a_runs_config_is_its_own_affair(
    tmp_path: Path, told: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def flatten(self: Recorder, run: Run) -> Stream:
        config = dict(run.config)
        for name, value in config.pop("dataset").items():
            config[f"dataset.{name}"] = value
        run.config["method"].clear()
        return _Recording("")

    monkeypatch.setattr(Recorder, "open", flatten)
    made, manifest, store = worker(tmp_path / "results")
    made.checkpoint_seconds = 0
    (trial_id,) = manifest.trials
    assert made.work().completed == 1
    assert (result := store.result(trial_id)) is not None
    assert result.config["method"]["_target_"] == "irm_sweeps.methods.erm.ERM"


def test_an_interrupted_trial_starts_its_run_over(tmp_path: Path, told: list[tuple[str, Any]]) -> None:
    made, manifest, store = worker(tmp_path / "results")
    work_until(made, step=12)
    assert told[1:] == [*ROWS[:3], ("close", "interrupted")]
    told.clear()
    assert Worker(store, manifest, torch.device("cpu"), capture=False).work().completed == 1
    assert told[1:] == [*ROWS, ("close", "completed")]


@pytest.mark.parametrize("fails", ["open", "write", "close", "nonsense/target"])
def test_a_logger_that_fails_is_logged_once_and_the_trial_goes_on(
    tmp_path: Path, told: list[tuple[str, Any]], fails: str
) -> None:
    made, manifest, store = worker(tmp_path / "results", fails)
    made.checkpoint_seconds = 0
    if "/" in fails:
        made.manifest.settings.logger["_target_"] = "nobody.Nothing"  # type: ignore[index]
    assert made.work().completed == 1
    (trial_id,) = manifest.trials
    log = (store.folder(trial_id) / "log.txt").read_text()
    assert log.count("the logger failed") == 1
    assert "no space left" in log or "nobody" in log
    assert len(told) <= 7


def test_runs_that_are_open_when_the_logger_fails_end_as_their_trials_do(
    tmp_path: Path, told: list[tuple[str, Any]]
) -> None:
    """And only what is still training is called interrupted."""
    said: list[str] = []
    (one,), (other,) = (collect([*SMALL, f"seed={seed}"])[0].values() for seed in (1, 2))
    values = {"_target_": "irm_sweeps.loggers.none.Recorder", "fails": "write"}
    result = {"status": "completed", "metrics": {}}
    forwarder = LogForwarder(SharedLogger(values), "sweep", said.append, lambda trial_id: tmp_path / trial_id, str)
    forwarder.forward(one, [])
    forwarder.forward(other, [{"step": 0, "penalty": 1.0}])
    forwarder.finish(one, [{"step": 0, "penalty": 1.0}], result)
    assert [words for words in told if words[0] != "open"] == [("write", 0), ("close", "completed")]
    forwarder.close()
    assert told[-1] == ("close", "interrupted")
    assert len(said) == 1


def test_no_logger_is_none_of_a_worker_s_business(tmp_path: Path) -> None:
    said: list[str] = []
    (trial,) = collect(SMALL)[0].values()
    forwarder = LogForwarder(SharedLogger(None), "sweep", said.append, Path, str)
    forwarder.forward(trial, [{"step": 0, "penalty": 1.0}])
    forwarder.finish(trial, [], {"status": "completed", "metrics": {}})
    assert said == []
