"""Malicious data files: no code is executed, and no header makes a reader allocate memory for absent data."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irm_sweeps.data.archives import KEYS, read_npz
from irm_sweeps.data.glove import load_vectors
from irm_sweeps.data.idx import read_idx
from irm_sweeps.data.sst2 import load_sst2
from irm_sweeps.errors import UserError

MIB = 2**20


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


def npy(dtype: str, shape: str, data: bytes = b"") -> bytes:
    """An array file with any header."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + data


def objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


ARRAYS: dict[str, bytes] = {
    "objects": objects(),
    "a pickle": pickle.dumps(Bomb()),
    "10^15 numbers": npy("|u1", "(1000000000000000,)"),
    "10^30 numbers": npy("<f8", f"({10**30},)"),
    "a negative size": npy("|u1", "(-1, 28, 28)"),
    "two negative sizes": npy("|u1", "(-2, -2)", b"1234"),
    "a size in words": npy("|u1", "('x',)"),
    "nested brackets": npy("|u1", "(" * 90 + ")" * 90),
    "code": npy("|u1", "__import__('os').getcwd()"),
    "texts": npy("<U1000000", "(1000,)"),
    "records": npy("|V1000000000", "(1000,)"),
    "a header of 4 GiB": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{",
    "version 9": b"\x93NUMPY\x09\x00" + struct.pack("<I", 10) + b"{}",
    "too few bytes": npy("|u1", "(100,)", b"x" * 99),
    "too many bytes": npy("|u1", "(100,)", b"x" * 101),
}


def write(path: Path, array: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key in KEYS:
            archive.writestr(f"{key}.npy", array)
    return path


@pytest.mark.parametrize("array", ARRAYS)
def test_an_array_that_is_none_is_refused_before_there_is_room_for_it(
    array: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "mnist.npz", ARRAYS[array])
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"mnist\.npz is damaged \(.*\): delete it") as refused:
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 800
    assert not (tmp_path / "exploded").exists()


def test_a_zip_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    """A member of 256 MiB of zeros in 256 KiB: its array claims 100 bytes, and no more are unpacked."""
    path = tmp_path / "mnist.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key in KEYS:
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                member.write(npy("|u1", "(100,)"))
                for _ in range(256 if key == KEYS[0] else 0):
                    member.write(bytes(MIB))
    assert path.stat().st_size < 2 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="in more bytes"):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays = {key: np.asfortranarray(np.arange(24, dtype=np.int64).reshape(4, 6)) for key in KEYS}
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    found = read_npz(tmp_path / "mnist.npz")
    for key, array in arrays.items():
        assert np.array_equal(found[key], array)
        assert found[key].dtype == array.dtype
        assert found[key].flags.writeable


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_an_archive_that_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda p: os.symlink("/dev/zero", p)}[kind](path)
    with pytest.raises(UserError, match="no regular file"):
        read_npz(path)


IDX: dict[str, bytes] = {
    "empty": b"",
    "a header alone": struct.pack(">4I", 2051, 60_000, 28, 28),
    "2^96 images": struct.pack(">4I", 2051, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x" * 100,
    "labels": struct.pack(">2I", 2049, 100) + b"x" * 100,
    "floats": struct.pack(">4I", 0x0D03, 1, 1, 1) + b"x" * 4,
    "one byte more": struct.pack(">4I", 2051, 1, 2, 2) + b"x" * 5,
    "gzip": b"\x1f\x8b" + b"x" * 100,
}


@pytest.mark.parametrize("content", IDX)
def test_an_idx_file_is_as_long_as_its_header_says(content: str, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(IDX[content])
    with pytest.raises(ValueError, match=str(tmp_path / "images")):
        read_idx(tmp_path / "images", 3)


def test_an_idx_file_without_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "images").open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(OSError, match="larger than 64 MiB"):
        read_idx(tmp_path / "images", 3)


LINES: dict[str, bytes] = {
    "not UTF-8": b"sentence\tlabel\n\xff\xfe\t1\n",
    "no columns": b"\0" * 100,
    "a label in words": b"sentence\tlabel\nfine\tgood\n",
    "a label of a thousand digits": b"sentence\tlabel\nfine\t" + b"1" * 1000 + b"\n",
    "fields without end": b"sentence\tlabel\n" + b"a\t" * 100_000 + b"1\n",
}


@pytest.mark.parametrize("content", LINES)
def test_sentences_that_are_none_are_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "train.tsv").write_bytes(LINES[content])
    with pytest.raises(UserError, match=r"train\.tsv") as refused:
        load_sst2(tmp_path)
    assert len(str(refused.value)) < 500


def test_a_nul_in_a_sentence_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "SST-2" / f"{split}.tsv").write_bytes(b"sentence\tlabel\na\0b fine\t1\n")
    assert load_sst2(tmp_path).dev.tokens == [["a\0b", "fine"]]


NUMBERS = ["1 2 nan", "1 2 inf", "1 2 1e400", "1 2", "1 2 3 4", "1 2 x", "", "1 2 0x10", "1 " * 10**6]


@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda text: text[:9])
def test_vectors_that_are_none_are_one_line(numbers: str, tmp_path: Path) -> None:
    (tmp_path / "glove.6B.3d.txt").write_text(f"a 1 2 3\nthe {numbers}\n")
    with pytest.raises(UserError, match=r"glove\.6B\.3d\.txt, line 2(: | has )") as refused:
        load_vectors(tmp_path, 3, ["the"])
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p)], ids=["pipe", "dir", "zero"]
)
def test_texts_that_are_no_files_are_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    make(tmp_path / "SST-2" / "train.tsv")
    with pytest.raises(UserError, match="no regular file"):
        load_sst2(tmp_path)
    make(tmp_path / "glove.6B.3d.txt")
    with pytest.raises(UserError, match="no regular file"):
        load_vectors(tmp_path, 3, ["the"])


def test_texts_without_end_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    for path in (tmp_path / "SST-2" / "train.tsv", tmp_path / "glove.6B.3d.txt"):
        with path.open("wb") as file:
            file.truncate(2**36)
    with pytest.raises(UserError, match="larger than"):
        load_sst2(tmp_path)
    with pytest.raises(UserError, match="line 1 has 65536 bytes or more"):
        load_vectors(tmp_path, 3, ["the"])
