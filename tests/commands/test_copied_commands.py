"""Printed commands work when pasted, a watched status is redrawn in place, a read-only store can be read."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import CAN_BE_PLAIN, ROOT, SMALL, each_as_plain_user, irm_sweeps, launch
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import in_place

TRIAL = re.compile(r"^  ([0-9a-f]{16})  to run", re.M)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A store that is not ./results and whose name a shell would take apart."""
    return tmp_path / "my results"


def printed(text: str) -> Iterator[list[str]]:
    """Yield the words of every `irm-sweeps ...` in a text."""
    for found in re.findall(r"irm-sweeps ((?:show|status|work|failures|logs)\b[^\n;,]*)", text):
        yield shlex.split(found)


def test_every_command_that_a_sweep_prints(elsewhere: Path) -> None:
    answer = launch("-m", "method=erm,irmv1", *SMALL, f"results={elsewhere}")
    commands = list(printed(answer.out))
    assert [words[0] for words in commands] == ["status", "show"]
    for words in commands:
        assert irm_sweeps(*words).code == 0


def test_every_command_that_a_trial_prints(elsewhere: Path) -> None:
    (words,) = printed(launch("method=erm", *SMALL, f"results={elsewhere}").out)
    assert "1/1 done" in irm_sweeps(*words).out


def test_a_sweep_with_failures_says_where_to_look(elsewhere: Path) -> None:
    answer = launch(
        "-m", "method=erm", *SMALL, f"results={elsewhere}", "method._target_=rogue.Rogue", "+method.deed=raise"
    )
    assert answer.code == 1, answer
    *_, words = printed(answer.out)
    assert words[0] == "failures"
    assert "1 x " in irm_sweeps(*words).out


def test_what_is_left_can_be_joined_as_status_says(elsewhere: Path, capfd: pytest.CaptureFixture[str]) -> None:
    launch("-m", "method=erm,irmv1", *SMALL, f"results={elsewhere}")
    store = Store(elsewhere)
    lost = store.trial_ids()[0]
    shutil.rmtree(store.folder(lost))
    (words,) = printed(irm_sweeps("status", "--results", str(elsewhere)).out)
    assert words[0] == "work"
    command = [sys.executable, "-m", "irm_sweeps", *words]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "1 of 2 trials have no result; working here on cpu" in told
    assert f"completed {lost}" in told
    assert "1 completed in" in told


def test_here_the_store_needs_no_naming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--results" not in launch("method=erm", *SMALL).out


@pytest.mark.skipif(not CAN_BE_PLAIN, reason="root may write anywhere")
def test_a_store_of_somebody_else_can_be_looked_at(elsewhere: Path, tmp_path: Path) -> None:
    few = ["seed=0", *(word for word in SMALL if word != "device=cpu")]
    launch("-m", "paper=demo", "paper.only=[erm]", *few, f"results={elsewhere}")
    (trial_id,) = Store(elsewhere).trial_ids()
    for path in [elsewhere, *elsewhere.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    where, figure = ["--results", str(elsewhere)], ["figure", "--paper", "demo", *few]
    expected = [
        (["status", *where], 0, "1/1 done"),
        (["show", trial_id, *where], 0, f"trial {trial_id}  erm seed=0  completed"),
        (["table", "--paper", "demo", *few, *where], 0, "(n=1)"),
        ([*figure, *where], 2, "name another place with --output FILE"),
        ([*figure, *where, "--output", str(tmp_path / "a.png")], 0, "a.png"),
        (["launch", "-m", "paper=demo", "paper.only=[erm]", *few, f"results={elsewhere}"], 0, "1 done, 0 to run"),
        (["launch", "method=vrex", *SMALL, f"results={elsewhere}"], 2, "cannot be written"),
    ]
    answers = each_as_plain_user(*(words for words, _, _ in expected))
    for (words, code, told), answer in zip(expected, answers, strict=True):
        assert answer.code == code, (words, answer)
        assert told in answer.out + answer.err, (words, answer)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_watched_status_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    with in_place(watching=True) as show:
        show("0/2 done\nrunning")
        show("1/2 done\nrunning")
    up_one_line = "\x1b[1A"
    first, _, second = terminal.getvalue().partition(up_one_line)
    assert "0/2 done" in first
    assert "1/2 done" in second
    assert "0/2" not in second


def test_a_piped_status_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with in_place(watching=True) as show:
        show("0/2 done")
        show("1/2 done")
    assert capsys.readouterr().out == "0/2 done\n1/2 done\n"
