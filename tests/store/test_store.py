"""The store: files are complete or absent, and only valid results are read."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import eventually
from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files import reading
from irm_sweeps.files.atomic import make_folder, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, UnreadableFile, read_json
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.store import Store

ID = "0123456789abcdef"
CHOICES = {group: {"_target_": "irm_sweeps.Some"} for group in ("dataset", "backbone", "method", "optimizer")}
CONFIG = {**CHOICES, "training": {"steps": 1}, "lam": None, "seed": 0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def result(trial_id: str = ID, **values: Any) -> dict[str, Any]:
    head = {"schema": 1, "trial_id": trial_id, "status": "completed", "config": CONFIG, "metrics": {}}
    return {**head, **values}


def test_a_written_result_is_read_back_with_its_history(store: Store) -> None:
    store.write_result(result(), [{"step": 0, "risk": 0.5}, {"step": 1, "risk": None}])
    assert (read := store.result(ID))
    assert read.raw == result()
    rows = (store.folder(ID) / "history.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1]
    assert sorted(path.name for path in store.folder(ID).iterdir()) == ["history.jsonl", "result.json"]


def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from irm_sweeps.files.atomic import write_atomically\n"
        "path = Path(sys.argv[1]); n = 0\n"
        "while True:\n    write_atomically(path, str(n % 10).encode() * 100_000); n += 1"
    )
    path = tmp_path / "file"
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
        eventually(path.exists, "the first write")
        before = path.stat().st_mtime_ns
        eventually(lambda before=before: path.stat().st_mtime_ns != before, "further writes")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 100_000
        assert len(set(content)) == 1


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


def test_json_is_strict() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"risk": float("nan")})


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}', "\xff", "[" * 100_000, '{"a": 1} {"b": 2}'],
    ids=["empty", "cut", "nan", "infinity", "twice", "bytes", "deep", "two"],
)
def test_what_is_no_strict_json_is_damaged(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DamagedFile, match=str(path)):
        read_json(path)


@pytest.mark.parametrize(
    "values",
    [{"trial_id": "f" * 16}, {"schema": 99}, {"status": "fine"}, {"config": None}],
    ids=lambda values: next(iter(values)),
)
def test_a_file_that_is_no_result_of_this_trial_is_not_trusted(store: Store, values: dict[str, Any]) -> None:
    make_folder(store.folder(ID))
    write_atomically(store.folder(ID) / "result.json", to_json({**result(), **values}))
    with pytest.raises(DamagedFile, match=ID):
        store.result(ID)
    (problem,) = store.results()
    assert isinstance(problem, Problem)
    assert problem.path.exists()


def test_foreign_files_are_passed_over(store: Store) -> None:
    store.write_result(result(), [])
    (store.root / "notes.txt").write_text("mine")
    (store.root / "sweeps").mkdir()
    (store.root / ("e" * 16)).write_text("a file where a folder should be")
    assert [found.trial_id for found in store.results() if not isinstance(found, Problem)] == [ID]
    assert store.result("e" * 16) is None


def test_the_first_result_of_a_trial_stays(store: Store) -> None:
    assert store.write_result(result(by="first"), [{"step": 1}])
    assert not store.write_result(result(by="second"), [])
    assert (read := store.result(ID))
    assert read.raw == result(by="first")
    assert (store.folder(ID) / "history.jsonl").read_text() == '{"step": 1}\n'


def test_of_two_who_create_a_file_one_does(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert [write_once(path, b"first"), write_once(path, b"second")] == [True, False]
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"first")]


def test_a_file_that_its_server_has_just_replaced_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("[1]")
    read, refusals = reading.read_regular, [OSError(errno.ESTALE, "Stale file handle")]

    def stale_at_first(path: Path, at_most: int) -> bytes:
        if refusals:
            raise refusals.pop()
        return read(path, at_most)

    monkeypatch.setattr(reading, "read_regular", stale_at_first)
    assert read_json(path) == [1]
    refusals += [OSError(errno.EIO, "Input/output error")]
    with pytest.raises(UnreadableFile, match=r"cannot read .*file: Input/output error"):
        read_json(path)


def test_a_result_that_is_made_again_starts_from_no_old_checkpoint(store: Store) -> None:
    for word, kept in (("damaged", True), ("completed", False)):
        store.write_result(result(), [])
        checkpoint = store.folder(ID) / "checkpoint.safetensors"
        checkpoint.touch()
        store.retire(ID, word)
        assert checkpoint.exists() == kept, word


def test_a_retired_result_stays_beside_every_earlier_one(store: Store) -> None:
    for seconds in (1, 2, 3):
        store.write_result(result(seconds=seconds), [])
        store.retire(ID, "completed")
    kept = [json.loads((store.folder(ID) / f"result.completed.{n}.json").read_text())["seconds"] for n in (1, 2, 3)]
    assert kept == [1, 2, 3]
    assert store.result(ID) is None


def test_retiring_what_somebody_else_has_retired_does_nothing(store: Store) -> None:
    store.write_result(result(), [])
    store.retire(ID, "failed")
    store.retire(ID, "failed")
    assert [path.name for path in store.folder(ID).glob("result.*")] == ["result.failed.1.json"]


def test_an_id_may_be_shortened_while_it_is_the_only_one(store: Store) -> None:
    for trial_id in ("aa" + "0" * 14, "ab" + "0" * 14):
        store.write_result(result(trial_id), [])
    assert store.find("ab") == "ab" + "0" * 14
    with pytest.raises(UserError, match="2 trials start with it"):
        store.find("a")
    with pytest.raises(UserError, match="no trial starts with it"):
        store.find("f")


def test_a_removed_store_does_not_come_back(store: Store) -> None:
    store.root.rmdir()
    with pytest.raises(StoreError, match="cannot create"):
        store.write_result(result(), [])
    assert not store.root.exists()


def test_a_store_that_cannot_be_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot create /proc/results"):
        Store(Path("/proc/results")).prepare()
