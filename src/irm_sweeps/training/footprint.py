"""Estimate the memory and the work of one trial's training step from the shapes of its tensors, without training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.draws import Draws
from irm_sweeps.process_state import fresh_state
from irm_sweeps.training.stacked_data import StackedData
from irm_sweeps.trial import Trial

TINY = 1e9
"""FLOP of a step below which a CPU core spends most of it on overhead, which a stack shares and a compiled step hardly
has (docs/performance.md)."""

PER_PARAMETER = 8
"""Tensors of a parameter's size at a step's peak: itself, its gradient, Adam's two moments, and temporaries."""

PER_ACTIVATION = 6
"""Tensors of an activation's size: saved for the backward pass, its gradient, and those of penalties and inner steps.
`tests/sweep/test_stacks.py` checks that these three constants cover the measured peak of every method."""

PER_INPUT = 2
"""Tensors of a batch's size: the gathered images, and the network's input."""


@dataclass(frozen=True)
class Footprint:
    """Memory and work of one trial on a device.

    Attributes
    ----------
    bytes
        Peak memory of a step, an upper estimate.
    flop
        Floating-point operations of a step's forward and backward pass through dense layers: 6 x parameters x images.
    """

    bytes: int
    flop: float

    @property
    def tiny(self) -> bool:
        """Whether a step has fewer FLOP than `TINY`."""
        return self.flop < TINY


@fresh_state()
def footprint(trial: Trial, data_dir: Path) -> Footprint:
    """Return the footprint of a trial; this draws its data and builds its network.

    Raises
    ------
    UserError
        The data cannot be read or are invalid.
    """
    bytes_per_number = 8 if trial.training.precision == "float64" else 4
    data = StackedData(
        [trial], data_dir, torch.device("cpu"), torch.float64 if bytes_per_number == 8 else torch.float32
    )
    images = data.per_step
    generator = torch.Generator().manual_seed(Draws(trial.seed).integer("parameters"))
    halves = trial.backbone.build(trial.dataset.features, trial.dataset.outputs, generator)
    initial = Model(*halves).initial()
    extra = trial.method.extra_parameters(lambda _: initial, data.environments, generator)
    extra |= trial.method.image_parameters(sum(data.sizes), generator)
    parameters = _count(initial) + _count(extra)
    inputs = sum(s.inputs.numel() * s.inputs.element_size() for s in data.sets.values())
    per_image = _activations(nn.Sequential(*halves), trial.dataset.features)
    features = math.prod(trial.dataset.features)
    step_numbers = PER_PARAMETER * parameters + images * (PER_ACTIVATION * per_image + PER_INPUT * features)
    step_numbers += trial.method.memory(parameters, images, data.environments)
    return Footprint(inputs + bytes_per_number * step_numbers, _flop(parameters, images))


@fresh_state()
def steps_per_epoch(trial: Trial, data_dir: Path) -> int:
    """Return the number of steps in which a trial passes over its training images; this draws its data.

    Raises
    ------
    UserError
        The data cannot be read or are invalid.
    """
    return StackedData([trial], data_dir, torch.device("cpu"), torch.float32).epoch


def is_tiny(parameters: Mapping[str, Tensor], images: int) -> bool:
    """Return whether a step on so many images has fewer FLOP than `TINY`."""
    return _flop(_count(parameters), images) < TINY


def _flop(parameters: int, images: int) -> float:
    return 6.0 * parameters * images


def _count(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of elements of all tensors."""
    return sum(tensor.numel() for tensor in tensors.values())


def _activations(network: nn.Module, features: tuple[int, ...]) -> int:
    """Return the number of output elements of all layers together, for one input."""
    sizes: list[int] = []

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        del module, inputs
        sizes.append(output.numel())

    hooks = [m.register_forward_hook(count) for m in network.modules() if not list(m.children())]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *features, dtype=torch.float32, device="cpu"))
    for hook in hooks:
        hook.remove()
    return sum(sizes)
