"""CIFAR-MNIST: exact counts, the sources of both halves of an image, and invalid configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archives import CLASSES, digits, pictures, write_archives
from irm_sweeps.data.cifar_mnist import CIFARMNIST
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.grid import expand

ROWS = {"n_train": 400, "n_val": 80, "n_test": 100, "resolution": "native"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def defaults() -> dict[str, dict[str, Any]]:
    found = {}
    for protocol in ("paper", "released"):
        (config,) = expand(["dataset=cifar_mnist", f"protocol={protocol}"])
        found[protocol] = config["dataset"]
    return found


@pytest.fixture
def make(defaults):
    def dataset(protocol: str = "paper", **changes: Any) -> CIFARMNIST:
        return CIFARMNIST(**{**defaults[protocol], **ROWS, **changes})

    return dataset


def digit_of(images: np.ndarray) -> np.ndarray:
    """0 for a box, 1 for a bar: read from the picture itself."""
    return np.where(images[:, 0, 18, 12] == 255, 0, 1)


def class_of(images: np.ndarray) -> np.ndarray:
    """The number of the class whose hue the photograph has."""
    return np.array(CLASSES)[images[:, :, 32:].mean((2, 3)).argmax(1)]


@pytest.mark.parametrize(("envs", "n"), [(2, 200), (4, 100)])
def test_counts_are_exact(envs: int, n: int, make, data_dir: Path) -> None:
    dataset = make(envs=envs)
    data = dataset.draw(3, data_dir)
    assert data.inputs.shape == (envs, n, 3, 64, 32)
    assert data.inputs.dtype == np.uint8
    for e, correlation in enumerate(dataset.correlations):
        label, digit = data.labels[e], digit_of(data.inputs[e])
        for value in (0, 1):
            own = label == value
            assert own.sum() == n // 2
            assert (digit[own] == value).sum() == int(n // 2 * correlation)
    test = data.held_out["test"]
    assert list(test.environments) == ["0.1"] == [dataset.shifted]
    agree = digit_of(test.inputs) == test.environments["0.1"].labels
    assert agree.sum() == 10
    for name, own in data.held_out["val"].environments.items():
        assert name in data.names
        assert len(own.index) == 80 // envs


def test_lin2021_s_correlations_and_sizes(make) -> None:
    assert make(envs=2).correlations == (0.999, 0.8)
    assert make(envs=4).correlations == (0.999, 0.95, 0.9, 0.8)
    assert make(envs=2, correlations=[0.9, 0.7]).correlations == (0.9, 0.7)
    assert make(resolution=224).features == (3, 224, 224)
    assert make().features == (3, 64, 32)


def test_digit_above_photograph_of_its_class(make, data_dir: Path) -> None:
    for protocol, classes in (("paper", (1, 2)), ("released", (1, 9))):
        dataset = make(protocol, label_noise=0.0)
        assert dataset.cifar_classes == classes
        data = dataset.draw(0, data_dir)
        images, labels = data.inputs.reshape(-1, 3, 64, 32), data.labels.reshape(-1)
        assert (class_of(images) == np.array(classes)[labels]).all()
        originals = {image.tobytes() for image in pictures()["x_train"]}
        assert {x.transpose(1, 2, 0).tobytes() for x in images[:20, :, 32:]} <= originals
        padded = images[:, :, :32]
        assert (padded[:, 0] == padded[:, 1]).all(), "gray in all channels"
        assert not padded[:, :, [0, 1, 30, 31]].any(), "padded by two"
        numbers = padded[:, 0, 2, 2].astype(int) + 256 * padded[:, 0, 2, 3].astype(int)
        assert np.array_equal(digits()["x_train"][numbers[0]], padded[0, 0, 2:30, 2:30])


def test_no_image_is_used_twice(make, data_dir: Path) -> None:
    for order in ("official", "shuffled"):
        data = make(order=order).draw(1, data_dir)
        images = np.concatenate([data.inputs.reshape(-1, 3, 64, 32), *(s.inputs for s in data.held_out.values())])
        for half in (images[:, :, :32], images[:, :, 32:]):
            assert len({image.tobytes() for image in half}) == len(images) == 580


def test_official_order_keeps_the_test_split_for_tests(make, data_dir: Path) -> None:
    official = {image.tobytes() for image in pictures()["x_test"]}
    for order, share in (("official", 0.9), ("shuffled", 0.2)):
        dataset = make(order=order, n_train=800, n_val=0, n_test=300)
        images = dataset.draw(0, data_dir).held_out["test"].inputs[:, :, 32:]
        found = np.mean([image.transpose(1, 2, 0).tobytes() in official for image in images])
        assert found >= share if order == "official" else found < 0.6


def test_label_noise_is_on_the_photograph_and_the_digit_follows_the_label(make, data_dir: Path) -> None:
    rates = []
    for seed in range(10):
        data = make().draw(seed, data_dir)
        clean = class_of(data.inputs.reshape(-1, 3, 64, 32)) == 2
        rates.append(np.mean(clean != data.labels.reshape(-1)))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.02)
    assert np.std(rates) > 0


def test_the_oracle_sees_no_digit(make, data_dir: Path) -> None:
    plain = make(oracle=False).draw(0, data_dir)
    for protocol, value, shown in (("paper", 0, False), ("released", 255, False), ("paper", 0, True)):
        changes = {"blank_at_test": False} if shown else {}
        data = make(protocol, oracle=True, cifar_classes=[1, 2], **changes).draw(0, data_dir)
        assert (data.inputs[:, :, :, :32] == value).all()
        assert (data.held_out["val"].inputs[:, :, :32] == value).all()
        assert np.array_equal(data.inputs[:, :, :, 32:], plain.inputs[:, :, :, 32:])
        assert np.array_equal(data.labels, plain.labels)
        test = data.held_out["test"].inputs[:, :, :32]
        assert np.array_equal(test, plain.held_out["test"].inputs[:, :, :32]) if shown else (test == value).all()


def test_the_same_seed_is_the_same_bytes_and_another_is_not(make, data_dir: Path) -> None:
    def content(data: TrialData) -> bytes:
        return data.inputs.tobytes() + data.labels.tobytes() + data.held_out["test"].inputs.tobytes()

    assert content(make().draw(5, data_dir)) == content(make().draw(5, data_dir))
    assert content(make().draw(5, data_dir)) != content(make().draw(6, data_dir))
    assert set(make().fingerprint(data_dir)) == {"cifar10:1,2", "mnist:official"}


def test_prepare_is_the_protocol_s_transform(make, data_dir: Path) -> None:
    """Paper: the whole image at test. Released: 43 x 32 of the centre, always, and mirrored at test too."""
    images = torch.from_numpy(make().draw(0, data_dir).inputs[0][:6]).double() / 255
    paper, released = make("paper"), make("released")
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    assert torch.allclose(paper.prepare(images, None, training=False), (images - mean) / std)
    assert not paper.draws_at_test
    assert released.draws_at_test
    k = released.draws_per_image
    for u, flipped in ((0.2, True), (0.8, False)):
        uniforms = torch.full((6, k), u, dtype=torch.float64)
        for training in (True, False):
            seen = released.prepare(images, uniforms, training=training)
            crop = images[:, :, 10:53]
            expected = torch.nn.functional.interpolate(crop, (64, 32), mode="bilinear", align_corners=False)
            expected = (expected.flip(-1) if flipped else expected) - mean
            assert torch.allclose(seen, expected / std)
    assert make(crop="none", flip="never").draws_per_image == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"envs": 3}, "^dataset.envs=3: input should be 2 or 4$"),
        ({"envs": [2]}, r"^dataset.envs=\[2\]"),
        ({"n_train": 401}, "cannot be shared"),
        ({"cifar_classes": [1, 1]}, "twice"),
        ({"correlations": [0.9]}, "correlations has 1 values"),
        ({"crop_scale": [0.9, 0.2]}, "smaller first"),
        ({"resolution": 16}, "resolution"),
        ({"label_noise": 1.5}, "label_noise"),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, Any], words: str) -> None:
    from irm_sweeps.trial import Trial

    (config,) = expand(["dataset=cifar_mnist"])
    with pytest.raises(UserError, match=words):
        Trial.from_config({**config, "dataset": {**config["dataset"], **ROWS, **changes}})


def test_what_the_archives_lack_is_named(make, data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no image of class 3 \(cat\); it has 1 \(automobile\), 2 \(bird\), 9"):
        make(cifar_classes=[1, 3]).check(data_dir)
    with pytest.raises(UserError, match=r"n_train=2000 .* have 1200"):
        make(n_train=2000).check(data_dir)
    with pytest.raises(UserError, match=r"are needed and .* there are"):
        make(n_train=1000, n_test=120, label_noise=0.5).draw(0, data_dir)
    np.savez(tmp_path / "mnist.npz", **digits())
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"cifar10\.npz is damaged"):
        make().check(tmp_path)
    np.savez(tmp_path / "cifar10.npz", **{**pictures(), "x_train": pictures()["x_train"][:, :16]})
    with pytest.raises(UserError, match=r"expected uint8\[n, 32, 32, 3\]"):
        make().check(tmp_path)
