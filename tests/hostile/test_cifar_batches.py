"""CIFAR-10's files, pickles in a tar: only arrays are built and only known names extracted."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irm_sweeps.data.cifar import load_pictures
from irm_sweeps.data.cifar_batches import BATCHES, FOLDER, NAMES, load_batches, read_batch, unpack
from irm_sweeps.errors import UserError

N = 20


def batch(seed: int = 0, labels: Any = None) -> dict[bytes, Any]:
    data = np.random.default_rng(seed).integers(0, 256, (N, 3072)).astype(np.uint8)
    return {b"data": data, b"labels": [i % 10 for i in range(N)] if labels is None else labels, b"batch_label": b"one"}


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def in_place_of_data(value: Any) -> dict[bytes, Any]:
    return {**batch(), b"data": value}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All six batches, as Python 2 pickled them: protocol 2, arrays through numpy's `_reconstruct`."""
    (tmp_path / FOLDER).mkdir()
    for i, name in enumerate([*BATCHES["train"], *BATCHES["test"]]):
        (tmp_path / FOLDER / name).write_bytes(pickle.dumps(batch(i), protocol=2))
    return tmp_path


def test_batches_are_read_as_numpy_would(folder: Path) -> None:
    found = load_batches(folder)
    assert found["x_train"].shape == (5 * N, 32, 32, 3)
    wanted = batch(0)[b"data"].reshape(N, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(found["x_train"][:N], wanted)
    assert found["y_test"].tolist() == batch()[b"labels"]
    assert load_pictures(folder, (1, 2)).test_classes.tolist() == [1, 2] * 2


def test_python_2_s_own_bytes_are_read(tmp_path: Path) -> None:
    """Its texts are bytes (opcode U): what encoding='bytes' is for."""
    mark, text = b"(", lambda content: b"U" + bytes([len(content)]) + content
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n" + mark + b"cnumpy\nndarray\n" + b"(K\x00t" + text(b"b") + b"tR"
        + mark + b"K\x01" + mark + b"K\x01M\x00\x0ct" + b"cnumpy\ndtype\n" + mark + text(b"u1") + b"K\x00K\x01tR"
        + b"\x89" + b"T" + (3072).to_bytes(4, "little") + bytes(range(256)) * 12 + b"tb"
    )  # fmt: skip
    content = b"\x80\x02}" + mark + text(b"data") + array + text(b"labels") + b"](K\x07eu."
    (tmp_path / "data_batch_1").write_bytes(content)
    images, labels = read_batch(tmp_path / "data_batch_1")
    assert labels.tolist() == [7]
    assert images[0, :, :, 0].tobytes() == bytes(range(256)) * 4


def bombs(marker: Path) -> dict[str, bytes]:
    touch = f"touch {marker}"
    return {
        "os.system": pickle.dumps(Call(os.system, touch)),
        "within a batch": pickle.dumps(in_place_of_data(Call(os.system, touch)), protocol=2),
        "eval": pickle.dumps(in_place_of_data(Call(eval, f"open({str(marker)!r}, 'w')")), protocol=2),
        "getattr": pickle.dumps({**batch(), b"x": Call(getattr, os, "system")} if False else Call(getattr, "x", "y")),
        "protocol 4": pickle.dumps(in_place_of_data(Call(os.system, touch)), protocol=4),
        "numpy's own loader": b"cnumpy\nload\n(V" + str(marker).encode() + b"\ntR.",
        "a class of ours": b"cirm_sweeps.cli\nmain\n(tR.",
        "setting a function's code": b"c_codecs\nencode\n}V__code__\nVx\nsb.",
        "an extension": b"\x82\x01.",
        "a persistent id": b"Px\n.",
        "an object in an array": pickle.dumps(in_place_of_data(np.array([Call(os.system, touch)])), protocol=2),
        "no pickle": b"<html>",
        "nothing": b"",
        "2^62 bytes": b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.",
        "cut": pickle.dumps(batch(), protocol=2)[:-100],
        "a list": pickle.dumps([1]),
        "no labels": pickle.dumps({b"data": batch()[b"data"]}, protocol=2),
        "labels in words": pickle.dumps(batch(labels=["cat"] * N), protocol=2),
        "labels of truth": pickle.dumps(batch(labels=[True] * N), protocol=2),
        "label 10": pickle.dumps(batch(labels=[10] * N), protocol=2),
        "label -1": pickle.dumps(batch(labels=[-1] * N), protocol=2),
        "too few labels": pickle.dumps(batch(labels=[1]), protocol=2),
        "floats": pickle.dumps(in_place_of_data(np.zeros((N, 3072), np.float32)), protocol=2),
        "a cube": pickle.dumps(in_place_of_data(np.zeros((N, 32, 96), np.uint8)), protocol=2),
    }


@pytest.mark.parametrize("bomb", bombs(Path("x")))
def test_a_batch_that_is_none_calls_nothing(bomb: str, folder: Path) -> None:
    marker = folder / "exploded"
    path = folder / FOLDER / "data_batch_3"
    path.write_bytes(bombs(marker)[bomb])
    with pytest.raises(ValueError, match=str(path)):
        read_batch(path)
    with pytest.raises(
        UserError, match=r"no readable CIFAR-10 in data_dir=.*data_batch_3.*: put cifar10\.npz"
    ) as refused:
        load_pictures(folder, (1, 2))
    assert len(str(refused.value)) < 1000
    assert not marker.exists()


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, content: bytes = b"hostile", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[Any, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o7777
    return info, b"" if kind != tarfile.REGTYPE else content


def test_an_archive_gives_the_files_asked_for_and_no_others(tmp_path: Path) -> None:
    good = [member(f"{FOLDER}/{name}", name.encode()) for name in NAMES]
    bad = [
        member("../escaped"),
        member(str(tmp_path / "absolute")),
        member(f"{FOLDER}/../../escaped"),
        member(f"{FOLDER}/extra"),
        member(f"{FOLDER}/data_batch_1", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member(f"{FOLDER}/data_batch_2", kind=tarfile.LNKTYPE, link="../../secret"),
        member(f"{FOLDER}/data_batch_3", kind=tarfile.CHRTYPE),
        member(f"{FOLDER}/data_batch_4", kind=tarfile.FIFOTYPE),
        member(f"{FOLDER}/data_batch_5", kind=tarfile.DIRTYPE),
    ]
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    unpack(packed(tmp_path / "a.tar.gz", *bad, *good), data_dir)
    assert sorted(path.name for path in data_dir.rglob("*") if not path.is_dir()) == sorted(NAMES)
    for name in NAMES:
        path = data_dir / FOLDER / name
        assert path.read_bytes() == name.encode()
        assert path.stat().st_mode & 0o7111 == 0, "nothing can be run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "data"]


def test_an_archive_of_links_alone_is_damaged(tmp_path: Path) -> None:
    links = [member(f"{FOLDER}/{name}", kind=tarfile.SYMTYPE, link="/etc/passwd") for name in NAMES]
    with pytest.raises(ValueError, match="has no cifar-10-batches-py/data_batch_1"):
        unpack(packed(tmp_path / "a.tar.gz", *links), tmp_path / "data")
    assert not [path for path in (tmp_path / "data").rglob("*") if not path.is_dir()]
