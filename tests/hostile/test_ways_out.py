"""Names and links that lead out of the results directory: nothing outside is read, written or removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import irm_sweeps, launch
from hostile.conftest import SWEEP
from hostile.poison import FILES, Poison, moved_away, values
from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.store import claims
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import TrialLog

WAYS = ["../outside", "..", "/etc", "../../../etc/passwd", "./.", "sweeps", "*", "", "\0", "a\nb", "$(touch x)"]


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the store that must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    for name in (".bashrc", ".result.json.backup", "checkpoint.safetensors", "log.txt"):
        (folder / name).write_text("mine")
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == {
        ".bashrc": "mine",
        ".result.json.backup": "mine",
        "checkpoint.safetensors": "mine",
        "log.txt": "mine",
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", ["show", "logs", "reproduce", "status", "work", "cancel", "failures"])
def test_no_name_leads_out(command: str, way: str, results: Path) -> None:
    answer = irm_sweeps(command, way, "--results", str(results))
    assert "no trial starts with it" in answer.complaint or "no such sweep" in answer.complaint


@pytest.mark.parametrize("way", WAYS)
def test_no_id_leads_out(way: str, results: Path) -> None:
    store = Store(results)
    for look in (store.folder, store.result, store.history, store.has_result):
        with pytest.raises(UserError, match="is no trial id"):
            look(way)


def test_a_linked_trial_folder_is_neither_read_nor_written(results: Path, victim: Path, outside: Path) -> None:
    store, trial_id = Store(results), victim.parent.name
    result = victim.read_bytes()
    shutil.rmtree(victim.parent)
    victim.parent.symlink_to(outside)
    for attempt in (
        lambda: store.write_result(json.loads(result), []),
        lambda: store.retire(trial_id, "failed"),
        lambda: claims.acquire(store, trial_id, "launch", 1, 1),
        lambda: claims.clear(store, trial_id),
    ):
        with pytest.raises(StoreError, match="is a symbolic link, which is not followed"):
            attempt()
    told = irm_sweeps("logs", trial_id, "--results", str(results))
    assert "is a symbolic link" in told.complaint
    assert "mine" not in told.out
    again = launch("-m", f"results={results}", *SWEEP)
    assert again.code == 2
    assert again.err.splitlines()[-1].startswith(f"error: {victim.parent} is a symbolic link")


def test_only_what_this_package_leaves_behind_is_tidied_away(results: Path, victim: Path) -> None:
    for name in (".claim.1a2b", ".result.json.1a2b"):
        (victim.parent / name).write_text("half")
    (victim.parent / ".gitignore").write_text("mine")
    claims.clear(Store(results), victim.parent.name)
    assert sorted(path.name for path in victim.parent.glob(".*")) == [".gitignore"]


@pytest.mark.parametrize("name", ["sweeps", "one sweep"])
def test_a_linked_folder_of_sweeps_is_not_written(name: str, results: Path, outside: Path) -> None:
    folder = results / "sweeps"
    if name == "one sweep":
        (folder,) = folder.iterdir()
    shutil.rmtree(folder)
    folder.symlink_to(outside)
    assert "no sweep has been launched" in irm_sweeps("status", "--results", str(results)).complaint
    for path in results.glob("*/result.json"):
        path.unlink()
    assert "is a symbolic link, which is not followed" in launch("-m", f"results={results}", *SWEEP).complaint


@pytest.mark.parametrize("poison", [moved_away, FILES["a pipe"], FILES["a folder"]], ids=["link", "pipe", "folder"])
def test_a_log_that_is_none_is_not_written_to_and_stops_no_trial(
    poison: Poison, results: Path, victim: Path, capfd
) -> None:
    path = victim.with_name("log.txt")
    poison(path)
    log = TrialLog([path.parent])
    log.write("a line")
    with log.capture():
        os.write(1, b"what native code prints")
    assert str(path) in capfd.readouterr().err
    if path.is_symlink():
        assert "a line" not in path.read_text()
    assert str(path) in irm_sweeps("logs", path.parent.name, "--results", str(results)).complaint


def test_the_store_itself_may_be_a_link(results: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(results)
    assert "2/2 done" in irm_sweeps("status", "--results", str(tmp_path / "link")).out


MANIFESTS: dict[str, Poison] = {
    **{name: poison for name, poison in FILES.items() if name != "a larger file"},
    "a name that leads out": values("name", to="../../outside-01234567"),
    "another's name": values("name", to="other-01234567"),
    "a launch that leads out": values("launch", to="../../outside/x"),
    "trials that lead out": values("trials", to={"../../outside": {}}),
    "trials without configs": values("trials", to={"0" * 16: None}),
    "stacks of strangers": values("stacks", to=[["f" * 16]]),
    "stacks in words": values("stacks", to="all"),
    "settings": values("settings", to=[]),
    "checkpoints never": values("settings", "checkpoint_seconds", to="never"),
    "nothing of it": lambda path: void_manifest(path),
}


def void_manifest(path: Path) -> None:
    path.write_text("{}")


@pytest.mark.parametrize("poison", MANIFESTS)
def test_a_poisoned_manifest_is_one_line(poison: str, results: Path, outside: Path) -> None:
    """A status of the newest sweep leaves the manifest of another sweep out, says so, and finds no sweep."""
    (path,) = results.glob("sweeps/*/manifest.json")
    MANIFESTS[poison](path)
    for command in (["status"], ["cancel", path.parent.name]):
        answer = irm_sweeps(*command, "--results", str(results))
        if command == ["status"] and poison in ("a name that leads out", "another's name"):
            note, complaint = answer.err.splitlines()
            assert note == f"left out: {path.parent} has the manifest of another sweep"
            assert complaint.startswith(f"error: no sweep has been launched in {results}: ")
            assert answer.code == 2
        else:
            assert answer.complaint.startswith(f"error: manifest {path} cannot be read (")
            assert answer.complaint.endswith("): issue the sweep's command again")
        assert len(answer.err) < 600


CLAIMS: dict[str, Poison] = {
    **{name: poison for name, poison in FILES.items() if name not in ("a larger file",)},
    "no holder": values("holder", to=None),
    "a holder in words": values("holder", to="me"),
    "pid in words": values("holder", "pid", to="x"),
    "deaths without end": values("deaths", to=10**30),
    "steps in words": values("steps", to="many"),
}


@pytest.mark.parametrize("poison", CLAIMS)
def test_a_poisoned_claim_holds_nothing(poison: str, results: Path, victim: Path) -> None:
    store, trial_id = Store(results), victim.parent.name
    victim.unlink()
    claim = claims.acquire(store, trial_id, "launch", 20, 1)
    assert claim is not None
    CLAIMS[poison](claim.path)
    assert "1 to do" in irm_sweeps("status", "--results", str(results)).out
    next_one = claims.acquire(store, trial_id, "launch", 20, 1)
    assert next_one is not None
    assert next_one.n == 2


def test_a_claim_s_host_cannot_draw_on_the_terminal(results: Path, victim: Path) -> None:
    victim.unlink()
    claim = claims.acquire(Store(results), victim.parent.name, "launch", 20, 1)
    assert claim is not None
    values("holder", "host", to="\x1b[2Jnode")(claim.path)
    out = irm_sweeps("status", "--results", str(results)).out
    assert r"on \x1b[2Jnode" in out
    assert "\x1b" not in out


def test_names_of_claims_without_end_are_passed_over(results: Path, victim: Path) -> None:
    victim.unlink()
    (victim.parent / f"claim.{'9' * 200}.json").write_text("{}")
    claim = claims.acquire(Store(results), victim.parent.name, "launch", 20, 1)
    assert claim is not None
    assert claim.n == 1
