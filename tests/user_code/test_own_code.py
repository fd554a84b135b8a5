"""A user's method that is edited: its trials are others, and every command tells of the earlier results."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import SMALL, Answer, irm_sweeps, launch
from irm_sweeps import provenance
from irm_sweeps.analysis.figures.series import of_store
from irm_sweeps.analysis.readings import Results as ReadResults
from irm_sweeps.compose import compose
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.user_code.syntax_digest import syntax_digest

BASE = """
from typing import ClassVar

from irm_sweeps.methods.rex import VREx


class Base(VREx):
    factor: ClassVar[int] = {factor}
"""
GAP = """
from own_base import Base


class Gap(Base):
    def penalty(self, at, features, logits, risks):
        return {factor} * self.factor * (risks.amax() - risks.amin())
"""
GAP_TRIAL = [*SMALL, "method=vrex", "method._target_=own_gap.Gap", "method.anneal=5", "lam=10"]

EARLIER = (
    "{} done by an earlier version of own_gap.Gap: run again; those results stay, and count once the edit is undone\n"
)
WORK = "import sys; from irm_sweeps.launchers.worker_task import WorkerTask; WorkerTask(*sys.argv[1:], threads=1)()"

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write the user's two files, as they are before or after an edit, for the next command to import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in ("own_gap", "own_base"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    def own(gap: int = 1, base: int = 1) -> None:
        (tmp_path / "own_gap.py").write_text(GAP.format(factor=gap))
        (tmp_path / "own_base.py").write_text(BASE.format(factor=base))
        forget()

    own()
    yield own
    forget()


def sweep(*overrides: str) -> Answer:
    return launch("-m", *GAP_TRIAL, *overrides)


def results() -> dict[int, dict[str, Any]]:
    """By seed."""
    found = [dict(r.raw) for r in Store(Path("results")).results() if isinstance(r, Result)]
    return {r["config"]["seed"]: r for r in found}


def test_a_result_says_which_code_made_it(write: Write) -> None:
    assert sweep("seed=0").err == ""
    recorded = results()[0]["provenance"]
    files = {name: Path(f"{name}.py").read_bytes() for name in ("own_gap", "own_base")}
    assert recorded["own_code"] == {name: hashlib.sha256(file).hexdigest() for name, file in files.items()}
    assert recorded["code_sha256"] == {name: syntax_digest(file) for name, file in files.items()}
    assert recorded["package_sha256"] == provenance.package_sha256()
    assert launch("-m", *SMALL, "seed=5").code == 0
    built_in = results()[5]["provenance"]
    assert not {"own_code", "own_git", "code_sha256", "config_id"} & built_in.keys(), "nothing of the package's own"
    assert built_in["package_sha256"] == recorded["package_sha256"]


def test_an_edit_while_it_runs_is_not_what_ran(write: Write) -> None:
    trial = Trial.from_config(compose(GAP_TRIAL))
    Path("own_gap.py").write_text(GAP.format(factor=3))
    assert Trial.from_config(compose(GAP_TRIAL)).id == trial.id


@pytest.mark.parametrize("edit", [{"gap": 0}, {"base": 0}])
def test_an_edit_makes_new_trials_and_undoing_it_finds_the_old_results(write: Write, edit: dict[str, int]) -> None:
    assert sweep("seed=0,1").code == 0
    old = results()
    assert sweep("seed=0,1").err == ""

    write(**edit)
    answer = sweep("seed=0,1", "plan=true")
    assert answer.out.startswith("0 done, 2 to run")
    assert answer.err == EARLIER.format(2)
    alone = launch(*GAP_TRIAL, "seed=0")
    assert alone.out.startswith("training ")
    assert alone.err == EARLIER.format(1)
    answer = sweep("seed=0,1", "plan=true")
    assert answer.out.startswith("1 done, 1 to run")
    assert answer.err == EARLIER.format(1)
    assert sweep("seed=1").code == 0

    found = [r for r in Store(Path("results")).results() if isinstance(r, Result)]
    assert len(found) == 4, "the old ones stay"
    metrics = {r.trial_id: r.raw["metrics"] for r in found}
    (new,) = (r.trial_id for r in found if r.config["seed"] == 0 and r.trial_id != old[0]["trial_id"])
    assert metrics[new] != metrics[old[0]["trial_id"]]

    write()
    answer = sweep("seed=0,1", "plan=true")
    assert answer.out.startswith("2 done, 0 to run")
    assert answer.err == ""


def test_comments_and_formatting_make_no_new_trial(write: Write) -> None:
    assert sweep("seed=0").code == 0
    write()
    Path("own_gap.py").write_text("# mine\n" + GAP.format(factor=1).replace("(self, at,", "(\n        self, at,"))
    answer = sweep("seed=0", "plan=true")
    assert answer.out.startswith("1 done, 0 to run")
    assert answer.err == ""


def test_results_of_before_code_was_part_of_the_id_are_told_of(write: Write) -> None:
    assert sweep("seed=0,1").code == 0
    for result in results().values():
        earlier = json.loads(json.dumps(result))
        earlier["trial_id"] = earlier["provenance"].pop("config_id")
        del earlier["provenance"]["code_sha256"]
        (Path("results") / result["trial_id"]).rename(Path("results") / earlier["trial_id"])
        (Path("results") / earlier["trial_id"] / "result.json").write_text(json.dumps(earlier))
    answer = sweep("seed=range(0,3)", "plan=true")
    assert answer.out.startswith("0 done, 3 to run")
    assert answer.err == EARLIER.format(2)
    again = irm_sweeps("reproduce", earlier["trial_id"], "--trust", "--device", "cpu")
    assert again.code == 0
    assert "equal: " in again.out


def test_a_figure_of_the_store_leaves_out_what_other_code_has_made(write: Write) -> None:
    assert sweep("seed=0").code == 0
    trial_id = results()[0]["trial_id"]
    assert of_store(ReadResults([Path("results")]), "last", trusted=True)[1] == []
    write(gap=0)
    series, remarks = of_store(ReadResults([Path("results")]), "last", trusted=True)
    assert series == []
    assert remarks == [f"skipped trial {trial_id}: done by an earlier version of own_gap.Gap"]


def test_rerun_changed_runs_what_another_version_of_the_package_has_made(write: Write) -> None:
    assert sweep("seed=0,1").code == 0
    path = Path("results") / results()[0]["trial_id"] / "result.json"
    earlier = results()[0]
    earlier["provenance"]["package_sha256"] = "0" * 64
    path.write_text(json.dumps(earlier))
    assert sweep("seed=0,1", "plan=true").out.startswith("2 done, 0 to run")
    assert sweep("seed=0,1", "plan=true", "rerun=changed").out.startswith("1 done, 1 to run")
    del earlier["provenance"]["package_sha256"]
    path.write_text(json.dumps(earlier))
    unknown = sweep("seed=0,1", "plan=true", "rerun=changed")
    assert unknown.out.startswith("2 done, 0 to run"), "what was not written down is not called changed"
    earlier["provenance"]["package_sha256"] = "0" * 64
    path.write_text(json.dumps(earlier))
    assert sweep("seed=0,1", "rerun=changed").code == 0
    assert json.loads(path.with_name("result.completed.1.json").read_text()) == earlier
    assert results()[0]["provenance"]["package_sha256"] == provenance.package_sha256()


def test_reproduce_names_what_differs(write: Write) -> None:
    assert sweep("seed=0").code == 0
    result = results()[0]
    path = Path("results") / result["trial_id"] / "result.json"
    result["provenance"]["package_sha256"] = "0" * 64
    result["provenance"]["numerics"]["deterministic"] = True
    result["provenance"]["software"]["torch"] = "1.0"
    path.write_text(json.dumps(result))
    write(gap=0)
    Path("own_base.py").write_text("# a comment\n" + BASE.format(factor=1))
    answer = irm_sweeps("reproduce", result["trial_id"], "--trust", "--device", "cpu")
    assert answer.code == 1
    differs = answer.out.partition("what else differs between the two runs:\n")[2]
    assert [line.partition(": ")[0].strip() for line in differs.splitlines()] == [
        "code of own_gap",
        "code of irm_sweeps",
        "torch",
        "deterministic",
    ]


def test_the_numeric_state_is_on_record(write: Write) -> None:
    assert sweep("seed=0", "training.precision=float64").code == 0
    recorded = results()[0]["provenance"]["numerics"]
    assert recorded["dtype"] == recorded["precision"] == "float64"
    assert recorded["deterministic"] is False
    assert recorded["threads"] == torch.get_num_threads()


def test_a_trial_whose_code_has_changed_since_its_launch_is_refused(write: Write, tmp_path: Path) -> None:
    trial = Trial.from_config(compose([*GAP_TRIAL, "seed=0"]))
    store = Store(tmp_path / "results")
    store.prepare()
    settings = RunSettings(data_dir="data", device="cpu", on_error="continue", checkpoint_seconds=60.0)
    manifest = write_manifest(store, "mine", {trial.id: trial.canonical}, [[trial.id]], settings)
    write(gap=2)
    task = [sys.executable, "-c", WORK, str(store.root), manifest.name]
    done = subprocess.run(task, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: trial {trial.id} is not run: the code of own_base, own_gap is not that with which its sweep was "
        "launched: issue the sweep's command again\n"
    )
    assert list(store.results()) == []
    write()
    done = subprocess.run(task, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0
    assert [result.trial_id for result in store.results() if isinstance(result, Result)] == [trial.id]


HELPED = """
import own_helper  # whose class a later trial names

from own_base import Base


class Gap(Base):
    pass
"""
HELPER = """
from own_mixin import Half
from irm_sweeps.methods.rex import VREx


class Halved(Half, VREx):
    pass
"""
MIXIN = """
class Half:
    def penalty(self, at, features, logits, risks):
        return 0.5 * (risks.amax() - risks.amin())
"""


@pytest.fixture
def helped(write: Write, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A method of one file, whose import brings another method, whose penalty is a third file's."""
    for name, text in (("own_gap", HELPED), ("own_helper", HELPER), ("own_mixin", MIXIN)):
        Path(f"{name}.py").write_text(text)
    yield
    for name in ("own_helper", "own_mixin"):
        sys.modules.pop(name, None)


def test_an_edit_of_what_another_import_has_brought_is_not_what_runs(helped: None) -> None:
    trial = [*SMALL, "method=vrex", "method._target_=own_helper.Halved", "lam=10"]
    Trial.from_config(compose(GAP_TRIAL))
    Path("own_helper.py").write_text(HELPER + "later = 1\n")
    assert Trial.from_config(compose(trial)).code["own_helper"] == syntax_digest(HELPER.encode())


def test_a_base_that_is_no_contract_counts_too(helped: None) -> None:
    trial = Trial.from_config(compose([*SMALL, "method=vrex", "method._target_=own_helper.Halved", "lam=10"]))
    assert trial.code.keys() == {"own_helper", "own_mixin"}


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_of_one_s_own_project_is_on_record(write: Write) -> None:
    Path(".gitignore").write_text("results\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "mine")
    assert sweep("seed=0").code == 0
    assert results()[0]["provenance"]["own_git"] == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    assert results()[0]["provenance"]["git"] == provenance.git_state()


def test_the_commit_is_that_of_the_import(write: Write) -> None:
    Path("own_helper.py").write_text("before = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "mine")
    trial = Trial.from_config(compose(GAP_TRIAL))
    imported = git("rev-parse", "HEAD")
    Path("own_helper.py").write_text("after = 1\n")
    git("commit", "-q", "-a", "-m", "later")
    assert provenance.own_git_state(trial.code) == {"commit": imported, "dirty": False}
