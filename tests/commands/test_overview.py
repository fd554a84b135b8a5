"""The overview of all sweeps of a store agrees with `irm-sweeps status SWEEP` for each."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from commands import ROOT, SMALL, irm_sweeps, launch
from irm_sweeps.commands.init import create
from irm_sweeps.commands.overview import overview, text
from irm_sweeps.commands.sweep_status import SweepStatus
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names

ROGUE = ["method=erm", "method._target_=rogue.Rogue", "+method.deed=raise", "seed=0,1,2"]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three sweeps: one done, one failed, one with a trial left."""
    results = tmp_path_factory.mktemp("launched") / "results"
    for n, overrides in enumerate((["lam=1,10"], ROGUE, ["seed=7,8"])):
        launch("-m", "hydra/launcher=inprocess", f"results={results}", *SMALL, *overrides)
        os.utime(results / "sweeps" / sweep_names(Store(results))[-1] / "manifest.json", (n, n))
    made = Store(results)
    last = sweep_names(made)[-1]
    trial_id = next(iter(json.loads((results / "sweeps" / last / "manifest.json").read_text())["trials"]))
    shutil.rmtree(made.folder(trial_id))
    return results


@pytest.fixture
def store(launched: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    return Store(Path(shutil.copytree(launched, tmp_path / "results")))


def ask(store: Store, *words: str) -> str:
    return irm_sweeps("status", *words, "--results", str(store.root)).out


def test_a_line_a_sweep(store: Store) -> None:
    header, *lines = ask(store, "--all").splitlines()
    assert header.split() == ["sweep", "launched", "(UTC)", "done", "failed", "open", "state", "command"]
    words = [line.split() for line in lines]
    assert [line[0] for line in words] == sweep_names(store)
    assert [line[3:7] for line in words] == [
        ["1/1", "0", "0", "done"],  # erm has no lam: one trial
        ["3/3", "3", "0", "done"],
        ["1/2", "0", "1", "stopped"],
    ]
    assert all(" -m " in f"{line} " for line in lines), "the command to issue again"
    assert all(f"results={store.root} " in f"{line} " for line in lines), "of the copied store, not of its original"


@pytest.mark.parametrize("conf", [None, "conf", "my yamls"])
def test_the_command_that_it_shows_can_be_pasted(conf: str | None, tmp_path: Path) -> None:
    """In a clone, and in a project of one's own, whose folder of YAMLs was found where it lies, or named."""
    here = tmp_path / "mine" if conf else ROOT
    if conf:
        create(here)
        (here / "conf").rename(here / conf)
    results = tmp_path / "my results"
    choice = (
        ["method=risk_gap", "lam=1,2", "dataset=two_bits", "training.steps=3"] if conf else ["seed=range(0,2)", *SMALL]
    )
    settings = [f"results={results}", "hydra/launcher=inprocess"]
    python = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if k != "IRM_SWEEPS_CONF"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "PATH": f"{python}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def sh(line: str) -> str:
        run = subprocess.run(["sh", "-c", line], cwd=here, env=environment, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
        return run.stdout

    front = "irm-sweeps launch" if conf else "python launch.py"
    named = "IRM_SWEEPS_CONF='my yamls' " if conf == "my yamls" else ""
    assert "2 completed" in sh(f"{named}{front} {shlex.join([*choice, '-m', *settings])}")
    (told,) = json.loads(ask(Store(results), "--all", "--json"))
    assert told["command"].startswith(f"{named}{front} ")
    assert told["command"] in ask(Store(results), "--all")
    assert sh(told["command"]).startswith("2 done, 0 to run")


def test_it_says_what_the_status_of_each_says(store: Store) -> None:
    for told in json.loads(ask(store, "--all", "--json")):
        own = json.loads(ask(store, told["sweep"], "--json"))
        assert own.items() <= told.items()
        assert told.keys() - own.keys() == {"launched", "command"}


def test_the_status_of_the_last_one_says_that_there_are_others(store: Store) -> None:
    assert "2 other sweeps: irm-sweeps status --all" in ask(store)
    assert "other sweep" not in ask(store, sweep_names(store)[0])


def test_a_damaged_manifest_hides_no_other_sweep(store: Store) -> None:
    first, *rest = sweep_names(store)
    path = store.root / "sweeps" / first / "manifest.json"
    path.write_text("{\x1b[2J")
    os.utime(path, (0, 0))
    damaged, *others = ask(store, "--all").splitlines()[1:]
    assert damaged.startswith(first)
    assert "damaged" in damaged
    assert "issue the sweep's command again" in damaged
    assert "\x1b" not in damaged
    assert [line.split()[0] for line in others] == rest


def test_slurm_is_asked_only_of_what_nobody_is_running(store: Store) -> None:
    asked = []

    def add_jobs(sweeps: Sequence[tuple[SweepStatus, Manifest]]) -> None:
        for status, manifest in sweeps:
            asked.append(manifest.name)
            status.jobs = "1 PENDING"

    entries = overview(store, add_jobs)
    assert asked == [sweep_names(store)[-1]]
    assert [entry.as_json()["state"] for entry in entries] == ["done", "done", "queued"]
    assert "queued" in text(entries)


def test_slurm_is_asked_of_what_cannot_be_read_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `status SWEEP` asks: whether a trial is done is unknown, and its jobs may still run."""
    asked = []

    def unreadable(self: SweepStatus) -> int:
        return 0

    monkeypatch.setattr(SweepStatus, "to_do", property(unreadable))
    overview(store, lambda sweeps: asked.extend(manifest.name for _, manifest in sweeps))
    assert asked == [sweep_names(store)[-1]]


@pytest.mark.parametrize("typed", ["'seed=my  seed'", "'a\tb'", "'a\nb'"])
def test_a_command_keeps_its_spaces_and_its_line(store: Store, typed: str) -> None:
    name = sweep_names(store)[0]
    path = store.root / "sweeps" / name / "manifest.json"
    times = path.stat()
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "command": f"python launch.py -m results=gone {typed}"})
    )
    os.utime(path, (times.st_atime, times.st_mtime))
    line = ask(store, "--all").splitlines()[1]
    assert line.endswith(typed.replace("\t", r"\t").replace("\n", r"\n"))


@pytest.mark.parametrize("words", [["some"], ["--watch"]])
def test_one_or_all(words: list[str], store: Store) -> None:
    answer = irm_sweeps("status", "--all", *words, "--results", str(store.root))
    assert answer.complaint == f"error: --all is every sweep once: leave out {words[0]}"
