"""The contract of a backbone, and the two halves of one as pure functions of its parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from irm_sweeps.config import Component

Parameters = Mapping[str, Tensor]
"""Named tensors: `representation.*` is u, `head.*` is v; a method may add players' own under other names. What a
half keeps besides parameters (running averages of batch norm) is there as `buffer.HALF.NAME`."""

BUFFER = "buffer."
"""Prefix of the tensors that no player moves and that forward passes in training update in place."""


class Backbone(Component):
    """A network in two halves. Subclass it, and name the subclass in a YAML's `_target_`."""

    stacks: ClassVar[bool] = True
    """False where a forward pass does more than map its batch to features (batch statistics)."""

    @property
    def inner_averages(self) -> bool:
        """Whether passes that serve only an adversary or an inner step update running averages too."""
        return False

    @abstractmethod
    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """Return (representation, head), initialised from the generator alone.

        Parameters
        ----------
        features
            Shape of one input.
        outputs
            Width of the head.
        """

    def check(self, features: tuple[int, ...], outputs: int) -> None:
        """See, before a sweep starts, whether what `build` reads is there and fits; it reads nothing by default.

        Raises
        ------
        UserError
            As `build` would.
        """
        del features, outputs


class Model:
    """h_u and g_v as functions of a parameter mapping.

    They are free of state, but for one exception: in training, a half with batch norm updates the running averages
    in the mapping it is given.

    Parameters
    ----------
    representation, head
        Modules whose own tensors serve as names, shapes and initial values only.
    inner_averages
        See `Backbone.inner_averages`.
    mixed_on
        Type of the device, `cpu` or `cuda`, on which layers take their products in bfloat16 while training; None:
        nowhere.
    """

    def __init__(
        self,
        representation: nn.Module,
        head: nn.Module,
        *,
        inner_averages: bool = False,
        mixed_on: str | None = None,
    ) -> None:
        self._halves = {"representation": representation, "head": head}
        self.inner_averages = inner_averages
        self._mixed_on = mixed_on

    def initial(self) -> dict[str, Tensor]:
        """Return the initial parameters by name."""
        return {
            f"{half}.{name}": tensor.detach().clone()
            for half, module in self._halves.items()
            for name, tensor in module.named_parameters()
        }

    def buffers(self) -> dict[str, Tensor]:
        """Return the initial running averages and the like, `buffer.HALF.NAME`."""
        return {
            f"{BUFFER}{half}.{name}": tensor.detach().clone()
            for half, module in self._halves.items()
            for name, tensor in module.named_buffers()
        }

    def train(self, mode: bool) -> None:
        """Choose between batch statistics (training) and running averages (evaluation)."""
        for module in self._halves.values():
            module.train(mode)

    @property
    def head_is_linear(self) -> bool:
        """Whether g_v is one fully connected layer."""
        return isinstance(self._halves["head"], nn.Linear)

    def _apply(self, half: str, parameters: Parameters, x: Tensor, averages: bool) -> Tensor:
        own: dict[str, Tensor] = {}
        for name, value in parameters.items():
            if name.startswith(f"{half}."):
                own[name.removeprefix(f"{half}.")] = value
            elif name.startswith(f"{BUFFER}{half}."):
                own[name.removeprefix(f"{BUFFER}{half}.")] = value if averages else value.clone()
        with self.layers_precision():
            output: Tensor = functional_call(self._halves[half], own, (x,))
        return output

    def layers_precision(self) -> AbstractContextManager[object]:
        """Return the context in which layers, a method's own too, take their products."""
        if self._mixed_on is None or not self._halves["head"].training:
            return nullcontext()
        # The cache of cast weights would carry tensors made under no_grad into a differentiated pass.
        return torch.autocast(self._mixed_on, torch.bfloat16, cache_enabled=False)

    def represent(self, parameters: Parameters, x: Tensor, *, averages: bool = True) -> Tensor:
        """Return h_u(x), `[n, width]`; without `averages` the pass leaves running averages as they are.

        In mixed precision it is bfloat16: what is more than another layer's input wants `in_full`.
        """
        return self._apply("representation", parameters, x, averages)

    def layers(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        """Return `[n, width]` outputs of the hidden layers, `layer1`, `layer2`, ..., and the logits, `classifier`.

        In a sequence of modules a hidden layer ends with its ReLU; any other representation is one layer.
        """
        found: dict[str, Tensor] = {}
        representation = self._halves["representation"]
        if isinstance(representation, nn.Sequential):
            for name, module in representation.named_children():
                prefix = f"representation.{name}."
                own = {key.removeprefix(prefix): p for key, p in parameters.items() if key.startswith(prefix)}
                x = functional_call(module, own, (x,))
                if isinstance(module, nn.ReLU):
                    found[f"layer{len(found) + 1}"] = x.flatten(1)
        else:
            x = self.represent(parameters, x)
            found["layer1"] = x.flatten(1)
        return {**found, "classifier": self._apply("head", parameters, x, averages=True)}

    def classify(self, parameters: Parameters, h: Tensor) -> Tensor:
        """Return the logits g_v(h): `[n]` for a head of width 1, else `[n, classes]`; float32 at least."""
        return in_full(squeezed(self._apply("head", parameters, h, averages=True)))


def in_full(values: Tensor) -> Tensor:
    """Return float32 for bfloat16, else the values."""
    return values.float() if values.dtype is torch.bfloat16 else values


def head_sizes(parameters: Parameters) -> tuple[int, int]:
    """Return (outputs, width of the representation) of a head, be it of one layer or of several."""
    weights = [p for name, p in parameters.items() if name.startswith("head.") and name.endswith("weight")]
    return weights[-1].shape[0], weights[0].shape[1]


def squeezed(logits: Tensor) -> Tensor:
    """Return `[n]` for logits `[n, 1]`, else the logits."""
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits
