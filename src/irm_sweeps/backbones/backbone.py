"""The contract of a backbone, and `Model`, its representation and head as pure functions of their parameters."""

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
"""Tensors by name: `representation.*` is u, `head.*` is v. A method may add parameters of its players under other
names. Buffers (running averages of batch norm) are named `buffer.HALF.NAME`, with HALF `representation` or `head`."""

BUFFER = "buffer."
"""Prefix of the tensors that no player trains; forward passes in training update them in place."""


class Backbone(Component):
    """Base class of backbones. Subclass it, and name the subclass in a YAML's `_target_`."""

    stacks: ClassVar[bool] = True
    """Whether trials can train as one stack: False if an image's features depend on its batch (batch statistics)."""

    @property
    def inner_averages(self) -> bool:
        """Whether forward passes for an adversary or an inner step update the running averages too."""
        return False

    @abstractmethod
    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """Return (representation, head), initialised with random numbers from `generator` only.

        Parameters
        ----------
        features
            Shape of one input.
        outputs
            Width of the head.
        """

    def check(self, features: tuple[int, ...], outputs: int) -> None:
        """Check, before a sweep starts, that the files `build` reads exist and fit; checks nothing by default.

        Raises
        ------
        UserError
            As `build` would.
        """
        del features, outputs


class Model:
    """The representation h_u and the head g_v as functions of a mapping of parameters.

    They hold no state, with one exception: in training, batch norm updates the running averages in the given mapping.

    Parameters
    ----------
    representation, head
        Modules whose own tensors are used for names, shapes and initial values only.
    inner_averages
        See `Backbone.inner_averages`.
    mixed_on
        Device type, `cpu` or `cuda`, on which layers multiply in bfloat16 in training; None: full precision.
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
        """Return the initial buffers, such as running averages, as `buffer.HALF.NAME`."""
        return {
            f"{BUFFER}{half}.{name}": tensor.detach().clone()
            for half, module in self._halves.items()
            for name, tensor in module.named_buffers()
        }

    def train(self, mode: bool) -> None:
        """Make batch norm use batch statistics (True, training) or running averages (False, evaluation)."""
        for module in self._halves.values():
            module.train(mode)

    @property
    def head_is_linear(self) -> bool:
        """Whether g_v is one fully connected layer."""
        return isinstance(self._halves["head"], nn.Linear)

    def _apply(self, half: str, parameters: Parameters, x: Tensor, averages: bool) -> Tensor:
        """Return a half's output; if not `averages`, its buffers are not updated."""
        tensors: dict[str, Tensor] = {}
        for name, value in parameters.items():
            if name.startswith(f"{half}."):
                tensors[name.removeprefix(f"{half}.")] = value
            elif name.startswith(f"{BUFFER}{half}."):
                tensors[name.removeprefix(f"{BUFFER}{half}.")] = value if averages else value.clone()
        with self.layers_precision():
            output: Tensor = functional_call(self._halves[half], tensors, (x,))
        return output

    def layers_precision(self) -> AbstractContextManager[object]:
        """Return the context of mixed precision, in which all layers, also those of a method, must run."""
        if self._mixed_on is None or not self._halves["head"].training:
            return nullcontext()
        # Without the cache of cast weights, which would reuse tensors made under no_grad in a differentiated pass.
        return torch.autocast(self._mixed_on, torch.bfloat16, cache_enabled=False)

    def represent(self, parameters: Parameters, x: Tensor, *, averages: bool = True) -> Tensor:
        """Return h_u(x), `[n, width]`; if not `averages`, the pass does not update running averages.

        In mixed precision the result is bfloat16; apply `in_full` before any use other than as a layer's input.
        """
        return self._apply("representation", parameters, x, averages)

    def layers(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs `[n, width]` of the hidden layers `layer1`, `layer2`, ..., and the logits as `classifier`.

        In an `nn.Sequential` each ReLU ends a hidden layer; any other representation is one layer.
        """
        outputs: dict[str, Tensor] = {}
        representation = self._halves["representation"]
        if isinstance(representation, nn.Sequential):
            for name, module in representation.named_children():
                prefix = f"representation.{name}."
                tensors = {key.removeprefix(prefix): p for key, p in parameters.items() if key.startswith(prefix)}
                x = functional_call(module, tensors, (x,))
                if isinstance(module, nn.ReLU):
                    outputs[f"layer{len(outputs) + 1}"] = x.flatten(1)
        else:
            x = self.represent(parameters, x)
            outputs["layer1"] = x.flatten(1)
        return {**outputs, "classifier": self._apply("head", parameters, x, averages=True)}

    def classify(self, parameters: Parameters, h: Tensor) -> Tensor:
        """Return the logits g_v(h) in at least float32: `[n]` for a head of width 1, else `[n, classes]`."""
        return in_full(squeezed(self._apply("head", parameters, h, averages=True)))


def in_full(values: Tensor) -> Tensor:
    """Return bfloat16 values as float32, other values unchanged."""
    return values.float() if values.dtype is torch.bfloat16 else values


def head_sizes(parameters: Parameters) -> tuple[int, int]:
    """Return (outputs, width of the representation) of a head with one or more layers."""
    weights = [p for name, p in parameters.items() if name.startswith("head.") and name.endswith("weight")]
    return weights[-1].shape[0], weights[0].shape[1]


def squeezed(logits: Tensor) -> Tensor:
    """Return logits `[n, 1]` as `[n]`, other logits unchanged."""
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits
