"""A stranger's archive of results: each attack ends in one line, and nothing is written anywhere."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import irm_sweeps
from irm_sweeps.store import archive as archives
from trial_archives import contents, files_of, signed, write_zip

Attack = Callable[[Path, dict[str, bytes]], object]

ID = "0123456789abcdef"


def with_file(name: str, content: bytes = b"x") -> Attack:
    return lambda path, files: write_zip(path, signed({**files, name: content}))


def with_entry(change: Callable[[zipfile.ZipInfo], None]) -> Attack:
    return lambda path, files: write_zip(path, signed(files), change)


def symbolic_link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def folder(info: zipfile.ZipInfo) -> None:
    info.external_attr = (0o040755 << 16) | 0x10


def deflated(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_DEFLATED


def twice(path: Path, files: dict[str, bytes]) -> None:
    name = next(iter(files))
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(path, [(name, b"{}"), *signed(files)])


def wrong_sha256(path: Path, files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.endswith("result.json"))
    write_zip(path, [*{**files, name: files[name] + b" "}.items(), ("contents.json", contents(files))])


def more_than_listed(path: Path, files: dict[str, bytes]) -> None:
    trial = {f"{ID}/result.json": b"{}"}
    write_zip(path, [*trial.items(), *signed(files)])


def fewer_than_listed(path: Path, files: dict[str, bytes]) -> None:
    write_zip(path, [*list(files.items())[:-1], ("contents.json", contents(files))])


def of_another_trial(path: Path, files: dict[str, bytes]) -> None:
    result = next(content for name, content in files.items() if name.endswith("result.json"))
    write_zip(path, signed({**files, f"{ID}/result.json": result}))


def bomb(path: Path, files: dict[str, bytes]) -> None:
    write_zip(path, signed({**files, f"{ID}/result.json": b"{}", f"{ID}/history.jsonl": bytes(80 * 2**20)}))


def larger_than_stated(path: Path, files: dict[str, bytes]) -> None:
    """A history unpacks to 40 MB, and both lists say that it has 1,000 bytes."""
    name = next(name for name in files if name.endswith("history.jsonl"))
    stated = {**files, name: bytes(1000)}
    write_zip(path, [*{**files, name: bytes(40_000_000)}.items(), (archives.CONTENTS, contents(stated))])
    content = bytearray(path.read_bytes())
    entry = content.rindex(name.encode()) - 46
    content[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    path.write_bytes(content)


def elsewhere(path: Path, files: dict[str, bytes]) -> None:
    """The list of files says of one that it begins in the middle of another."""
    write_zip(path, signed(files))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 42 : entry + 46] = struct.pack("<I", 50)
    path.write_bytes(content)


def endless_list(path: Path, files: dict[str, bytes]) -> None:
    """The list of files is said to have 4 GB."""
    write_zip(path, signed(files))
    content = bytearray(path.read_bytes())
    content[-10:-6] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)


def cut_short(path: Path, files: dict[str, bytes]) -> None:
    write_zip(path, signed(files))
    path.write_bytes(path.read_bytes()[:-100])


def changed_byte(path: Path, files: dict[str, bytes]) -> None:
    write_zip(path, signed(files))
    content = bytearray(path.read_bytes())
    content[120] ^= 0xFF
    path.write_bytes(content)


ATTACKS: dict[str, tuple[Attack, str]] = {
    "zip slip": (with_file("../../outside.txt"), "'../../outside.txt' is no file of an archive"),
    "absolute": (with_file("/tmp/outside/result.json"), "is no file of an archive"),
    "backslash": (with_file("..\\outside.txt"), "is no file of an archive"),
    "no trial": (with_file("sweeps/a-01234567/manifest.json"), "is no file of an archive"),
    "checkpoint": (with_file(f"{ID}/checkpoint.safetensors"), "is no file of an archive"),
    "claim": (with_file(f"{ID}/claim.1.json"), "is no file of an archive"),
    "symbolic link": (with_entry(symbolic_link), "is not marked as an ordinary file"),
    "folder": (with_entry(folder), "is not marked as an ordinary file"),
    "other program": (with_entry(deflated), "not compressed as bzip2"),
    "twice": (twice, "is there twice"),
    "wrong sha256": (wrong_sha256, "its sha256 is not the one in contents.json"),
    "more": (more_than_listed, "contents.json and the list of files differ"),
    "fewer": (fewer_than_listed, "contents.json and the list of files differ"),
    "no contents": (lambda path, files: write_zip(path, list(files.items())), "it has no contents.json"),
    "bad contents": (lambda path, files: write_zip(path, [*files.items(), ("contents.json", b"[]")]), "not a mapping"),
    "no result": (with_file(f"{ID}/history.jsonl", b'{"step": 0}\n'), "is there without"),
    "other trial": (of_another_trial, f"not {ID}"),
    "not a result": (with_file(f"{ID}/result.json", b'{"schema": 1}'), "Field required"),
    "not JSON": (with_file(f"{ID}/result.json", b"NaN"), "NaN is not JSON"),
    "bomb": (bomb, "more than 200 times as many"),
    "larger than stated": (larger_than_stated, "it has more than the 1,000 bytes"),
    "elsewhere": (elsewhere, "in the wrong place"),
    "endless list": (endless_list, "no archive of `irm-sweeps pack`"),
    "cut short": (cut_short, "no archive of `irm-sweeps pack`"),
    "changed byte": (changed_byte, ""),
    "empty": (lambda path, files: path.write_bytes(b""), "no archive of `irm-sweeps pack`"),
    "text": (lambda path, files: path.write_text("hello"), "no archive of `irm-sweeps pack`"),
}


@pytest.mark.parametrize(("attack", "reason"), ATTACKS.values(), ids=ATTACKS)
def test_it_is_refused_with_one_line_and_nothing_is_written(
    attack: Attack, reason: str, trained_store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "stranger.zip"
    path.parent.mkdir()
    attack(path, files_of(trained_store))
    refused = irm_sweeps("unpack", str(path), "--results", str(tmp_path / "out"))
    assert reason in refused.complaint
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_the_honest_archive_of_the_same_files_is_taken(trained_store: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "honest.zip", signed(files_of(trained_store)))
    answer = irm_sweeps("unpack", str(path), "--results", str(tmp_path / "out"))
    assert answer.code == 0, answer
    assert files_of(tmp_path / "out") == files_of(trained_store)


def test_readers_name_a_damaged_result_and_read_the_others(trained_store: Path, tmp_path: Path) -> None:
    wrong_sha256(path := tmp_path / "stranger.zip", files_of(trained_store))
    status = irm_sweeps("status", "--results", str(path))
    assert "1/1 done" in status.out
    assert "its sha256 is not the one" in status.out


def test_a_list_of_too_many_files_is_not_read(
    trained_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(tmp_path / "many.zip", signed(files_of(trained_store)))
    monkeypatch.setattr(archives, "LARGEST_CONTENTS", 200)
    assert "its list of files is larger" in irm_sweeps("status", "--results", str(path)).complaint


def test_a_link_in_the_store_is_not_followed(trained_store: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", signed(files_of(trained_store)))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    trial_id = sorted(files_of(trained_store))[0].partition("/")[0]
    (tmp_path / "out" / trial_id).symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link" in irm_sweeps("unpack", str(path), "--results", str(tmp_path / "out")).complaint
    assert not os.listdir(tmp_path / "elsewhere")
