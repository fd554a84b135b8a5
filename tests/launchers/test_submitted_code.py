"""The code that was submitted is the code that runs, whatever is edited meanwhile: real processes, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, Answer, Desk, eventually, is_running, launch, outcomes

METHOD = """
import os
import time
from pathlib import Path

from irm_sweeps.methods.rex import VREx
from submitted.weight import WEIGHT


class Gap(VREx):
    def penalty(self, at, features, logits, risks):
        if (gate := os.environ.get("GATE")) and not Path(gate).exists():
            time.sleep(0.1)
        return WEIGHT * (risks.amax() - risks.amin())
"""
SLOW = [
    *(word for word in SMALL if not word.startswith("training.steps")),
    "method=vrex",
    "method._target_=submitted.gap.Gap",
    "lam=10",
    "training.steps=60",
    "checkpoint_seconds=0.3",
]
SEEDS = "seed=0,1"

Edit = Callable[[int], None]


@pytest.fixture
def edit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Write the user's modules, in folders that are no packages, such that the penalty has a weight."""
    folder = desk.folder / "mine" / "submitted"
    folder.mkdir(parents=True)
    (folder / "gap.py").write_text(METHOD)
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))

    def write(weight: int) -> None:
        (folder / "weight.py").write_text(f"WEIGHT = {weight}\n")

    write(1)
    return write


@pytest.fixture
def submitted(edit: Edit, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The outcomes of the trials with the code as it is at first, trained in one process without a break."""
    gate, results = desk.folder / "open", desk.folder / "undisturbed"
    gate.touch()
    monkeypatch.setenv("GATE", str(gate))
    monkeypatch.syspath_prepend(desk.folder / "mine")
    answer = launch("-m", f"results={results}", *SLOW, SEEDS)
    for name in [name for name in sys.modules if name.startswith("submitted")]:
        del sys.modules[name]
    assert answer.code == 0, answer
    return outcomes({path.parent.name: json.loads(path.read_text()) for path in results.glob("*/result.json")})


def first_at_work(desk: Desk) -> tuple[str, int]:
    """Wait for a checkpoint; return the trial that has it, and the worker that trains it."""

    def saved() -> dict[str, int]:
        held = desk.holders().items()
        return {i: pid for i, pid in held if (desk.results / i / "checkpoint.safetensors").exists()}

    return next(iter(eventually(saved, "a checkpoint").items()))


def sweep_name(desk: Desk) -> str:
    (manifest,) = desk.results.glob("sweeps/*/manifest.json")
    return manifest.parent.name


def work(desk: Desk, *options: str) -> Answer:
    arguments = ["work", sweep_name(desk), *options, "--results", str(desk.results)]
    return desk.answer(desk.start(*arguments, command=("-m", "irm_sweeps")))


def test_workers_that_replace_killed_ones_train_the_submitted_code(
    desk: Desk, edit: Edit, submitted: dict[str, dict[str, Any]]
) -> None:
    command = desk.sweep(*SLOW, SEEDS, slots=1)
    trial_id, pid = first_at_work(desk)
    edit(1000)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: desk.holders().get(trial_id, pid) != pid, "another worker has the trial")
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 0, answer
    assert outcomes(desk.in_store()) == submitted
    assert "resumed at step" in desk.log(trial_id)


def commit(folder: Path) -> str:
    """Commit what is in a folder, and return the commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "mine"]):
        subprocess.run([*git, *arguments], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_a_worker_that_joins_later_trains_the_submitted_code(
    desk: Desk, edit: Edit, submitted: dict[str, dict[str, Any]]
) -> None:
    """Even where the user's files are gone; nothing of it is imported without `--trust`."""
    (desk.folder / "mine" / ".gitignore").write_text("__pycache__\n")
    launched_at = commit(desk.folder / "mine")
    command = desk.sweep(*SLOW, SEEDS, slots=1)
    trial_id, pid = first_at_work(desk)
    command.kill()
    command.wait()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_running(pid), "no worker is left")
    edit(1000)
    (desk.folder / "mine" / "submitted" / "gap.py").unlink()
    commit(desk.folder / "mine")
    desk.gate.touch()
    assert "submitted.gap.Gap" in work(desk).complaint
    answer = work(desk, "--trust")
    assert answer.code == 0, answer
    assert "submitted.gap, submitted.weight changed since: what was submitted runs" in answer.out
    assert outcomes(desk.in_store()) == submitted
    assert "resumed at step" in desk.log(trial_id)
    commits = [result["provenance"]["own_git"] for result in desk.in_store().values()]
    assert commits == [{"commit": launched_at, "dirty": False}] * 2


def test_the_same_command_after_an_edit_makes_trials_of_the_new_code(
    desk: Desk, edit: Edit, submitted: dict[str, dict[str, Any]]
) -> None:
    desk.gate.touch()
    assert desk.answer(desk.sweep(*SLOW, SEEDS)).code == 0
    edit(1000)
    again = desk.answer(desk.sweep(*SLOW, SEEDS))
    assert again.code == 0, again
    results = outcomes(desk.in_store())
    new = {trial_id: outcome for trial_id, outcome in results.items() if trial_id not in submitted}
    assert {trial_id: results[trial_id] for trial_id in submitted} == submitted
    assert len(new) == len(submitted)
    assert not any(outcome in submitted.values() for outcome in new.values())


@pytest.mark.parametrize("damage", ["edited", "missing", "a link"])
def test_a_copy_that_is_not_what_was_submitted_is_refused(desk: Desk, edit: Edit, damage: str) -> None:
    command = desk.sweep(*SLOW, SEEDS, slots=1)
    _, pid = first_at_work(desk)
    command.kill()
    command.wait()
    os.kill(pid, signal.SIGKILL)
    (copy,) = desk.results.glob("sweeps/*/code/*/submitted/weight.py")
    if damage == "edited":
        copy.write_text("WEIGHT = 7\n")
    else:
        copy.unlink()
    if damage == "a link":
        copy.symlink_to(desk.folder / "mine" / "submitted" / "weight.py")
    complaint = work(desk, "--trust").complaint
    assert "the sweep's copy of submitted.weight, " in complaint
    assert complaint.endswith("issue the sweep's command again")


def change_package(desk: Desk) -> Path:
    """Let the sweep's manifest be of a launch at which a module of the package was another."""
    (path,) = desk.results.glob("sweeps/*/manifest.json")
    values = json.loads(path.read_text())
    assert values["package"]["files"]["methods/rex.py"]
    values["package"]["files"]["methods/rex.py"] = "0" * 12
    values["package"]["sha256"] = "0" * 64
    path.write_text(json.dumps(values))
    return path


def test_a_worker_of_another_package_refuses_in_one_line(desk: Desk) -> None:
    desk.gate.touch()
    built_in = [*SMALL, "method=vrex", "lam=10", SEEDS]
    assert desk.answer(desk.sweep(*built_in)).code == 0
    change_package(desk)
    complaint = work(desk).complaint
    assert f"irm_sweeps has changed since sweep {sweep_name(desk)} was launched (methods/rex.py)" in complaint
    assert "by issuing the command again: " in complaint
    assert desk.answer(desk.sweep(*built_in, "rerun=all")).code == 0
    answer = work(desk)
    assert (answer.code, answer.err) == (0, "")


def test_a_change_of_the_package_lets_workers_that_run_go_on_and_replaces_none(desk: Desk, edit: Edit) -> None:
    command = desk.sweep(*SLOW, SEEDS, "training.steps=2000", slots=2)
    trial_id, pid = first_at_work(desk)
    eventually(lambda: len(desk.holders()) == 2, "two workers")
    change_package(desk)
    os.kill(pid, signal.SIGKILL)
    err = desk.folder / "0.err"
    eventually(lambda: "a worker cannot start: irm_sweeps has changed" in err.read_text(), "its replacement refuses")
    assert len(desk.holders()) == 1, "the other worker goes on"
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 0, answer
    assert desk.times_trained()[trial_id] == 2, "the other worker has taken the trial over"
