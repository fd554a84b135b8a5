"""torchvision's ResNet-18 and ResNet-50 as backbones, with weights from ImageNet, a file or a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from irm_sweeps.backbones.backbone import Backbone
from irm_sweeps.config import Place
from irm_sweeps.errors import UserError
from irm_sweeps.files.downloads import PublishedFile
from irm_sweeps.files.typed_paths import expanded
from irm_sweeps.files.untrusted import open_regular
from irm_sweeps.process_state import fresh_state

IMAGENET = {
    "resnet18": PublishedFile(
        "resnet18-f37072fd.pth",
        ["https://download.pytorch.org/models/resnet18-f37072fd.pth"],
        46_830_571,
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    ),
    "resnet50": PublishedFile(
        "resnet50-0676ba61.pth",
        ["https://download.pytorch.org/models/resnet50-0676ba61.pth"],
        102_530_333,
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
}
"""torchvision's weights IMAGENET1K_V1, stored in the folder `checkpoints` of torch's hub."""
SMALLEST = 32
"""Minimum height and width of an input in pixels: five halvings leave one pixel."""


class ResNet(Backbone):
    """A residual network (He et al. 2016) up to its average pooling, and a head of one or two layers.

    The first layer is that for ImageNet (7 x 7, stride 2, then pooling) at every resolution. With batch norm an
    image's features depend on its batch, so these trials do not stack; several processes share a GPU instead.
    """

    stacks: ClassVar[bool] = False
    architecture: ClassVar[str]

    weights: str
    """Initial weights. `none`: drawn from the seed (He et al.'s rule). `imagenet`: torchvision's, downloaded or from
    its cache. Else the path of a `.pth` or `.safetensors` file with tensors under torchvision's names; the trial's
    identity depends on the file's content, not on its path."""
    weights_sha256: str | None = None
    """sha256 of the weights file, filled in when the config is read; null without a file. If given, it is verified."""
    weights_path: Annotated[str | None, Place()] = None
    """Path of the weights file on this machine; filled in, and not part of the trial's identity."""
    head_hidden: Annotated[int, Field(ge=1)] | None
    """Number of hidden units of a two-layer head (lin2021's released InvRat-EB); null: one linear layer."""
    inner_statistics: bool
    """Whether forward passes for an adversary update the running averages of batch norm (true in lin2021's released
    code). They normalise by their own batch in any case; meta-IRM's inner steps never update."""
    channels_last: bool
    """Whether to use the memory layout channels_last, faster on GPUs; may change the last bits of results."""
    compiled: bool
    """Whether torch.compile compiles the representation; may change the last bits of results."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_weights(cls, values: Any) -> Any:
        """Replace the path of a file by the hash of its content, so that trial ids do not depend on paths."""
        if not isinstance(values, Mapping) or values.get("weights") in ("none", "imagenet", None):
            return values
        weights = str(values["weights"])
        path = values.get("weights_path") or ("" if weights.startswith("sha256:") else weights)
        file = expanded(str(path), "backbone.weights")
        actual = _sha256(file)
        expected = values.get("weights_sha256") or weights.removeprefix("sha256:")
        if expected not in (actual, weights):
            raise ValueError(f"{path} has sha256 {actual}, not {expected}: it is another file")
        return {**values, "weights": f"sha256:{actual}", "weights_sha256": actual, "weights_path": str(file)}

    @property
    def inner_averages(self) -> bool:
        """The value of `inner_statistics`."""
        return self.inner_statistics

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """Return the network without its classifier, `[n, 512 or 2048]`, and the head.

        Raises
        ------
        UserError
            The inputs are not images of three channels or too small, or the weights do not fit.
        """
        if len(features) != 3 or features[0] != 3 or min(features[1:]) < SMALLEST:
            raise UserError(
                f"backbone={self.architecture} needs images of 3 channels and at least {SMALLEST} x {SMALLEST} pixels, "
                f"not inputs of shape {list(features)}: choose another dataset or dataset.resolution"
            )
        from torchvision import models

        seed = torch.randint(2**62, (1,), generator=generator, dtype=torch.int64, device="cpu")
        with fresh_state(seed=int(seed)):  # torchvision takes neither a generator nor a number format
            network = getattr(models, self.architecture)(weights=None)
            width = network.fc.in_features
            head = self._head(width, outputs)
        network.fc = nn.Identity()
        if self.weights != "none":
            _load(network, dict(self._tensors), self.architecture, self.weights_path or self.weights)
        return _Representation(network, channels_last=self.channels_last, compiled=self.compiled), head

    def check(self, features: tuple[int, ...], outputs: int) -> None:
        """Read or download the weights and load them into the network."""
        if self.weights != "none":
            self.build(features, outputs, torch.Generator())

    def _head(self, width: int, outputs: int) -> nn.Module:
        if self.head_hidden is None:
            return nn.Linear(width, outputs)
        return nn.Sequential(nn.Linear(width, self.head_hidden), nn.ReLU(), nn.Linear(self.head_hidden, outputs))

    @cached_property
    def _tensors(self) -> Mapping[str, Tensor]:
        if self.weights == "imagenet":
            return _imagenet(self.architecture)
        assert self.weights_path is not None
        path = Path(self.weights_path)
        if _sha256(path) != self.weights_sha256:
            raise UserError(f"{path} has changed since the trial was planned: its sha256 is not {self.weights_sha256}")
        return _read(path)


class ResNet18(ResNet):
    """ResNet-18: 512 features."""

    architecture: ClassVar[str] = "resnet18"


class ResNet50(ResNet):
    """ResNet-50 (stride in the 3 x 3 convolution, as torchvision's): 2,048 features."""

    architecture: ClassVar[str] = "resnet50"


class _Representation(nn.Module):
    """The network without its classifier, with the memory layout and compilation chosen in the config."""

    def __init__(self, network: nn.Module, *, channels_last: bool, compiled: bool) -> None:
        super().__init__()
        self.network = network
        self._channels_last = channels_last
        if compiled:
            self.network.compile()

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n, width]` features of `[n, 3, height, width]` images.

        Raises
        ------
        UserError
            The training batch is one image with a last feature map of one pixel, which has no batch statistics.
        """
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        if self.training and len(x) == 1 and max(x.shape[-2:]) <= SMALLEST:
            raise UserError("batch norm cannot train on one image of 32 x 32: raise training.batch_size or resolution")
        features: Tensor = self.network(x)
        return features


@lru_cache(maxsize=8)
def _sha256(path: Path) -> str:
    """Return the hash of a weights file.

    Raises
    ------
    ValueError
        The file cannot be read, or its suffix is not supported.
    """
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise ValueError(f"{path}: give none, imagenet, or the path of a .pth or .safetensors file")
    try:
        with open_regular(path, follow=True) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


@lru_cache(maxsize=2)
def _imagenet(architecture: str) -> Mapping[str, Tensor]:
    """Return torchvision's ImageNet weights from torch's hub folder; download them if they are missing."""
    weights = IMAGENET[architecture]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return _read(weights.fetch(folder))
    except UserError as error:
        raise UserError(
            f"backbone.weights=imagenet: {weights.name} is not available ({error}): fetch it on a machine with a "
            f"network and put it at {folder / weights.name}, or give its path: backbone.weights=PATH, or "
            "backbone.weights=none"
        ) from None


@lru_cache(maxsize=2)
def _read(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a weights file; no code in it is executed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle, struct and safetensors raise their own exceptions
        raise UserError(f"backbone.weights={path} cannot be read as tensors: {error!r:.200}") from None
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"backbone.weights={path} holds no mapping from names to tensors")
    return tensors


def _load(network: nn.Module, tensors: dict[str, Tensor], architecture: str, source: str) -> None:
    """Load the tensors into the network; those of its classifier (`fc.*`) are ignored."""
    given = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
    expected = network.state_dict()
    # Files from before 2018 lack num_batches_tracked, which is not used here.
    missing = [name for name in expected if name not in given and not name.endswith("num_batches_tracked")]
    extra = [name for name in given if name not in expected]
    shapes = [
        f"{name} is {list(given[name].shape)} and should be {list(expected[name].shape)}"
        for name in given
        if name in expected and given[name].shape != expected[name].shape
    ]
    problems = shapes[:1] + [f"no {name}" for name in missing[:1]] + [f"an unknown {name}" for name in extra[:1]]
    if problems:
        raise UserError(f"backbone.weights={source} is not of a {architecture}: {'; '.join(problems)}")
    network.load_state_dict({**expected, **given})
