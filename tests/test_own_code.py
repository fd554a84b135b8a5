"""A user's method that is edited: old results keep their ids, and every command marks them as old."""

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

from commands import SMALL, Answer, irm_sweeps, launch, outcome
from irm_sweeps import provenance
from irm_sweeps.compose import compose
from irm_sweeps.store.checkpoints import save_checkpoint
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

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
    recorded = results()[0]["provenance"]["own_code"]
    assert recorded == {
        name: hashlib.sha256(Path(f"{name}.py").read_bytes()).hexdigest() for name in ("own_gap", "own_base")
    }
    assert launch("-m", *SMALL, "seed=5").code == 0
    assert not {"own_code", "own_git"} & results()[5]["provenance"].keys(), "nothing of the package's own classes"


def test_an_edit_while_it_runs_is_not_what_ran(write: Write) -> None:
    trial = Trial.from_config(compose(GAP_TRIAL))
    before = trial.own_code
    Path("own_gap.py").write_text(GAP.format(factor=3))
    assert Trial.from_config(compose(GAP_TRIAL)).own_code == before == trial.own_code


@pytest.mark.parametrize(("edit", "module"), [({"gap": 0}, "own_gap"), ({"base": 0}, "own_base")])
def test_results_of_other_code_are_named_and_made_again(write: Write, edit: dict[str, int], module: str) -> None:
    assert sweep("seed=0,1").code == 0
    old = results()
    assert sweep("seed=0,1").err == ""

    write(**edit)
    answer = sweep("seed=0,1", "plan=true")
    assert answer.out.startswith("2 done, 0 to run")
    warning = f"warning: 2 of those done were made before {module} changed: rerun=changed runs them again\n"
    assert answer.err == warning
    alone = launch(*GAP_TRIAL, "seed=0")
    assert alone.out.startswith("done before: ")
    assert alone.err == warning.replace("2 of", "1 of")

    assert sweep("seed=1", "rerun=changed").out.startswith("0 done, 1 to run")
    assert "2 done" in (told := sweep("seed=0,1", "plan=true")).out
    assert "1 of those done" in told.err
    again = sweep("seed=0,1,2", "rerun=changed")
    assert again.out.startswith("1 done, 2 to run")
    assert again.err == ""
    new = results()
    assert {r["trial_id"] for r in old.values()} < {r["trial_id"] for r in new.values()}, "the ids stay"
    assert new[0]["metrics"] != old[0]["metrics"]
    kept = Store(Path("results")).folder(old[0]["trial_id"]) / "result.completed.1.json"
    assert json.loads(kept.read_text()) == old[0]
    assert sweep("seed=0,1,2", "rerun=changed").out.startswith("3 done, 0 to run")


def test_what_was_not_written_down_is_not_called_changed(write: Write) -> None:
    assert sweep("seed=0").code == 0
    path = Path("results") / results()[0]["trial_id"] / "result.json"
    earlier = results()[0]
    del earlier["provenance"]["own_code"]
    path.write_text(json.dumps(earlier))
    write(gap=0)
    assert sweep("seed=0").err == ""


def test_reproduce_names_the_code_that_differs(write: Write) -> None:
    assert sweep("seed=0").code == 0
    (trial_id,) = (r["trial_id"] for r in results().values())
    write(gap=0)
    answer = irm_sweeps("reproduce", trial_id, "--trust", "--device", "cpu")
    assert answer.code == 1
    assert "sha256 of own_gap: " in answer.out
    assert "sha256 of own_base" not in answer.out
    assert "nothing that is on record" not in answer.out


@pytest.mark.parametrize("changed", [False, True])
def test_a_checkpoint_of_other_code_is_not_gone_on_from(write: Write, changed: bool) -> None:
    class Stop(Exception):
        pass

    class AtTheTenth:
        def after_step(self, training: StackTraining) -> None:
            if training.step == 10:
                raise Stop

    trial = Trial.from_config(compose([*GAP_TRIAL, "seed=0"]))
    training = StackTraining([trial], Path("data"), torch.device("cpu"))
    with pytest.raises(Stop):
        training.run(AtTheTenth())
    store = Store(Path("results").absolute())
    store.prepare()
    store.folder(trial.id).mkdir()
    save_checkpoint(store, trial, *training.state(0))

    write(gap=2 if changed else 1)
    assert sweep("seed=0").code == 0
    interrupted = results()[0]
    log = (store.folder(trial.id) / "log.txt").read_text()
    assert ("resumed at step 10" in log) == (not changed)
    assert ("was written before own_gap changed: the trial starts from its beginning" in log) == changed
    assert log.count("changed:") == int(changed)
    assert sweep("seed=0", "rerun=all").code == 0
    assert outcome(results()[0]) == outcome(interrupted)


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
    Trial.from_config(compose(GAP_TRIAL))
    before = hashlib.sha256(Path("own_helper.py").read_bytes()).hexdigest()
    Path("own_helper.py").write_text(HELPER + "# later\n")
    later = Trial.from_config(compose([*SMALL, "method=vrex", "method._target_=own_helper.Halved", "lam=10"]))
    assert later.own_code["own_helper"] == before


def test_a_base_that_is_no_contract_counts_too(helped: None) -> None:
    trial = Trial.from_config(compose([*SMALL, "method=vrex", "method._target_=own_helper.Halved", "lam=10"]))
    assert trial.own_code.keys() == {"own_helper", "own_mixin"}


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
    assert provenance.own_git_state(trial.own_code) == {"commit": imported, "dirty": False}
