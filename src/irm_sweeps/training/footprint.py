"""What one trial asks of a device, known from shapes alone: nothing is trained."""

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

PER_PARAMETER = 8
"""Tensors of a parameter's size at the height of a step: itself, gradient, two moments of Adam, and on the way."""

PER_ACTIVATION = 6
"""Tensors of an activation's size: kept for the backward pass, its gradient, and what penalties and inner steps keep.
`tests/sweep/test_stacks.py` holds every method's peak against all three."""

PER_INPUT = 2
"""Tensors of a batch's size: gathered, and laid out for the network."""


@dataclass(frozen=True)
class Footprint:
    """One trial on a device.

    Attributes
    ----------
    bytes
        Memory at the height of a step, an upper estimate.
    flop
        Of a step's forward and backward pass through dense layers: 6 x parameters x images.
    """

    bytes: int
    flop: float


@fresh_state()
def footprint(trial: Trial, data_dir: Path) -> Footprint:
    """Draw the trial's data and look at the shapes.

    Raises
    ------
    UserError
        The data are not there.
    """
    number = 8 if trial.training.precision == "float64" else 4
    data = StackedData([trial], data_dir, torch.device("cpu"), torch.float64 if number == 8 else torch.float32)
    images = data.per_step
    generator = torch.Generator().manual_seed(Draws(trial.seed).integer("parameters"))
    halves = trial.backbone.build(trial.dataset.features, trial.dataset.outputs, generator)
    initial = Model(*halves).initial()
    own = trial.method.extra_parameters(lambda _: initial, data.environments, generator)
    parameters = _numbers(initial) + _numbers(own)
    inputs = sum(s.inputs.numel() * s.inputs.element_size() for s in data.sets.values())
    per_image = _activations(nn.Sequential(*halves), trial.dataset.features)
    features = math.prod(trial.dataset.features)
    stepping = PER_PARAMETER * parameters + images * (PER_ACTIVATION * per_image + PER_INPUT * features)
    return Footprint(inputs + number * stepping, 6.0 * parameters * images)


def _numbers(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _activations(network: nn.Module, features: tuple[int, ...]) -> int:
    """Return how many numbers the layers put out for one input."""
    seen: list[int] = []

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        del module, inputs
        seen.append(output.numel())

    hooks = [m.register_forward_hook(count) for m in network.modules() if not list(m.children())]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *features))
    for hook in hooks:
        hook.remove()
    return sum(seen)
