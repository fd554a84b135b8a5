"""ResNet weights from files and from torch's cache, the heads, and invalid inputs."""

from __future__ import annotations

import hashlib
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from irm_sweeps.errors import UserError
from irm_sweeps.sweep.grid import expand
from irm_sweeps.testing.runs import tensors
from irm_sweeps.trial import Trial


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(7)
    state = torchvision.models.resnet18(weights=None).state_dict()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    files = {"pth": folder / "own.pth", "safetensors": folder / "own.safetensors", "old": folder / "old.pt"}
    torch.save(state, files["pth"])
    save_file(state, files["safetensors"])
    torch.save(old, files["old"])
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), folder / "other.pth")
    torch.save({"model": [1, 2]}, folder / "nonsense.pth")
    torch.save({name: value for name, value in state.items() if name != "bn1.weight"}, folder / "short.pth")
    (folder / "damaged.pth").write_bytes(files["pth"].read_bytes()[:1000])
    return {**files, "folder": folder, "state": state}


@pytest.mark.parametrize("kind", ["pth", "safetensors", "old"])
def test_weights_come_from_a_file(kind: str, make, start, weights) -> None:
    run = start(make("method=erm", backbone={"weights": str(weights[kind])}))
    for name, value in weights["state"].items():
        if not name.startswith("fc."):
            own = {**tensors(run)}
            key = f"representation.network.{name}"
            assert torch.equal(own[key] if key in own else own["buffer." + key], value)


def test_the_id_is_that_of_the_bytes_not_of_the_path(make, start, weights, tmp_path: Path) -> None:
    copy_ = tmp_path / "elsewhere.pth"
    copy_.write_bytes(weights["pth"].read_bytes())
    one, other = (make("method=erm", backbone={"weights": str(path)}) for path in (weights["pth"], copy_))
    assert one.id == other.id
    assert one.id not in {make("method=erm").id, make("method=erm", backbone={"weights": str(weights["old"])}).id}
    assert Trial.from_config({**one.canonical}).id == one.id, "a manifest's trial is the same"
    copy_.write_bytes(weights["old"].read_bytes())
    from irm_sweeps.backbones.resnet import _sha256

    _sha256.cache_clear()
    with pytest.raises(UserError, match=r"another file|has changed"):
        start(Trial.from_config(other.canonical))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other.pth", "is not of a resnet18: an unknown layer"),
        ("short.pth", "no bn1.weight"),
        ("nonsense.pth", "no mapping from names to tensors"),
        ("damaged.pth", "cannot be read as tensors"),
        ("absent.pth", "No such file"),
        ("weights.bin", "none, imagenet, or the path"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name: str, words: str, make, start, weights) -> None:
    def make_and(go_on) -> None:
        go_on(make("method=erm", backbone={"weights": str(weights["folder"] / name)}))

    for go_on in (start, lambda trial: trial.backbone.check(trial.dataset.features, trial.dataset.outputs)):
        with pytest.raises(UserError, match=words):
            make_and(go_on)


def test_resnet50_s_weights_are_not_resnet18_s(make, start, weights) -> None:
    with pytest.raises(UserError, match="is not of a resnet50"):
        start(make("method=erm", "backbone=resnet50", backbone={"weights": str(weights["pth"])}))


def test_imagenet_comes_from_torch_s_cache_or_says_what_to_fetch(make, start, weights, tmp_path, monkeypatch) -> None:
    from irm_sweeps.backbones import resnet

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    trial = make("method=erm", backbone={"weights": "imagenet"})

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no network in this test")

    resnet._imagenet.cache_clear()
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(UserError, match=r"resnet18-\w+\.pth is not available .*put it at .*checkpoints"):
        start(trial)
    name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    content = weights["pth"].read_bytes()
    (tmp_path / "checkpoints" / name).write_bytes(content)
    with pytest.raises(UserError, match="has other bytes than those published"):
        start(trial)
    published = replace(resnet.IMAGENET["resnet18"], size=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert published.name == name
    monkeypatch.setitem(resnet.IMAGENET, "resnet18", published)
    run = start(make("method=erm", backbone={"weights": "imagenet"}))
    assert torch.equal(tensors(run)["representation.network.conv1.weight"], weights["state"]["conv1.weight"])
    resnet._imagenet.cache_clear()


def test_the_head_may_have_two_layers(make, start) -> None:
    for method in ("invrat_eb", "invrat_ec", "irm_games"):
        run = start(make(f"method={method}", backbone={"head_hidden": 5}))
        assert tensors(run)["head.0.weight"].shape == (5, 512)
        run.run()
    with pytest.raises(UserError, match="one linear layer"):
        start(make("method=fishr", backbone={"head_hidden": 5})).run()


def test_what_a_resnet_cannot_take_is_refused(make, start) -> None:
    (mnist,) = expand(
        ["dataset=colored_mnist", "backbone=resnet18", "backbone.weights=none", "dataset.source=embedded"]
    )
    with pytest.raises(UserError, match=r"needs images of 3 channels .* \[392\]"):
        start(Trial.from_config(mnist))
    with pytest.raises(UserError, match="batch norm cannot train on one image"):
        start(make("method=erm", training={"batch_size": 1})).run()
    with pytest.raises(UserError, match="variant=v"):
        start(make("method=irm_games", method={"variant": "f"})).run()
