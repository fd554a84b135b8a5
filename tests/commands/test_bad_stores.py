"""Data, stores and folders that are missing, damaged or not to be used: one clear line on stderr, and no lost data."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from commands import SMALL, irm_sweeps, launch


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short"], ids=["missing", "empty", "cut short"])
@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["trial", "sweep"])
def test_mnist_that_cannot_be_read(
    content: bytes | None, mode: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    data = tmp_path / "data"
    data.mkdir()
    if content is not None:
        (data / "mnist.npz").write_bytes(content)
    answer = launch(*mode, f"results={tmp_path / 'r'}", f"data_dir={data}", "dataset.source=auto")
    told = "mnist.npz" if content is None else f"{data / 'mnist.npz'} is damaged"
    assert told in answer.complaint
    assert not list(tmp_path.glob("r/*/result.json"))


def test_mnist_without_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(3))
    answer = launch(f"results={tmp_path / 'r'}", f"data_dir={tmp_path}", "dataset.source=auto")
    assert "lacks the arrays ['y_train', 'x_test', 'y_test']" in answer.complaint


def test_a_result_cut_short_is_named_set_aside_and_made_again(results: Path) -> None:
    sweep = ["-m", f"results={results}", *SMALL, "seed=0,1"]
    assert launch(*sweep).code == 0
    damaged, intact = sorted(results.glob("*/result.json"))
    whole, other = damaged.read_bytes(), intact.read_bytes()
    damaged.write_bytes(whole[:100])

    told = launch(*sweep, "plan=true")
    assert "1 done, 1 to run" in told.out
    assert told.err.startswith(f"damaged, will be set aside and run again: {damaged}")
    assert damaged.read_bytes() == whole[:100], "a plan changes nothing"
    shown = irm_sweeps("show", damaged.parent.name, "--results", str(results))
    assert "issue the sweep's command again" in shown.complaint

    again = launch(*sweep)
    assert again.code == 0
    assert "1 completed" in again.out
    assert (damaged.parent / "result.damaged.1.json").read_bytes() == whole[:100]
    assert intact.read_bytes() == other
    assert json.loads(damaged.read_text())["metrics"] == json.loads(whole)["metrics"]


def test_irm_sweeps_names_what_it_does_not_find(results: Path) -> None:
    assert "no such directory" in irm_sweeps("status", "--results", str(results)).complaint
    results.mkdir()
    where = ["--results", str(results)]
    assert "no sweep has been launched" in irm_sweeps("status", *where).complaint
    assert launch("-m", f"results={results}", *SMALL, "seed=0").code == 0
    for command in (["status", "sweet"], ["work", "sweet"], ["failures", "sweet"], ["cancel", "sweet"]):
        assert "sweep 'sweet': no such sweep" in irm_sweeps(*command, *where).complaint
    for command in (["show", "zz"], ["logs", "zz"]):
        assert "ID 'zz': no trial starts with it" in irm_sweeps(*command, *where).complaint
    (manifest,) = results.glob("sweeps/*/manifest.json")
    manifest.write_text("{")
    assert "issue the sweep's command again" in irm_sweeps("status", *where).complaint


def test_a_folder_whose_home_does_not_exist_is_one_line(trained_store: Path, tmp_path: Path) -> None:
    trial_id = next(path.parent.name for path in trained_store.glob("*/result.json"))
    nowhere, store = "~nobody_of_this_name/x", ["--results", str(trained_store)]
    for option, words in (
        ("--results", ["status", "--results", nowhere]),
        ("--results", ["show", trial_id, "--results", nowhere]),
        ("--results", ["unpack", str(tmp_path / "any.zip"), "--results", nowhere]),
        ("--data-dir", ["reproduce", trial_id, *store, "--data-dir", nowhere]),
        ("logger.directory", ["export", "--logger", "tensorboard", *store, nowhere]),
    ):
        (tmp_path / "any.zip").touch()
        complaint = irm_sweeps(*words).complaint
        assert f"{option}={nowhere}: this machine has no home folder for ~nobody_of_this_name" in complaint


def test_a_home_that_no_shell_has_expanded(
    trained_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves the `~` of `--output=~/x`; a folder of that name would be made here."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    for words in (["pack", "--output=~/kept.zip"], ["table", "--output=~/kept.md"], ["report", "--output=~/kept.html"]):
        assert irm_sweeps(*words, "--results", str(trained_store)).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"here", "kept.zip", "kept.md", "kept.html"}
    assert not list((tmp_path / "here").iterdir())


def test_a_folder_that_no_text_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path in a folder whose name is not UTF-8: refused before anything is trained."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    complaint = launch(*SMALL).complaint
    assert "a byte that is not UTF-8 makes no path that scripts can hold" in complaint
    assert not list(folder.iterdir())


def test_a_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "scratch"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for answer in (irm_sweeps("status"), irm_sweeps("table"), irm_sweeps("launch", *SMALL)):
        assert answer.complaint == "error: the folder that you are in was removed: cd to one that is there"


def test_a_project_gets_no_folder_that_no_file_system_has(tmp_path: Path) -> None:
    assert "File name too long" in irm_sweeps("init", str(tmp_path / ("a" * 300))).complaint


def test_failures_names_results_that_are_damaged(trained_store: Path, results: Path) -> None:
    shutil.copytree(trained_store, results)
    victim = next(results.glob("*/result.json"))
    victim.write_text("{")
    told = irm_sweeps("failures", "--results", str(results)).out.splitlines()
    assert told[0].endswith(": no failed trials among those that can be read")
    assert told[1].startswith(f"damaged: {victim}: ")


def test_a_folder_of_yamls_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for typed, told in [
        (__file__, "is a file"),
        ("/nowhere/at/all", "no such folder"),
        ("~nobody_here", "no home folder"),
    ]:
        monkeypatch.setenv("IRM_SWEEPS_CONF", typed)
        complaint = launch(*SMALL, f"results={tmp_path}").complaint
        assert f"IRM_SWEEPS_CONF={typed}: " in complaint
        assert told in complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_results_that_may_not_be_written(results: Path) -> None:
    results.mkdir(mode=0o500)
    assert "cannot be written: Permission denied" in launch(f"results={results}", *SMALL).complaint


@pytest.mark.parametrize("command", ["status", "failures", "pack -o kept.zip", "table", "report", "unpack kept.zip"])
def test_a_store_without_a_name_is_refused(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of `--results "$STORE"` where the variable is not set: it does not mean this folder."""
    monkeypatch.chdir(tmp_path)
    answer = irm_sweeps(*command.split(), "--results", "")
    assert answer.code == 2
    assert answer.err == "error: --results is empty: give a path; this folder is .\n"
    assert not list(tmp_path.iterdir())
