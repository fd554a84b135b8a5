"""The networks of a stack's trials, each drawn from its trial's seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import Model
from irm_sweeps.draws import Draws
from irm_sweeps.methods.method import Method
from irm_sweeps.process_state import fresh_state
from irm_sweeps.trial import Trial


class Networks:
    """Draws the networks of a stack's trials.

    Parameters
    ----------
    trials
        Trials of one `stack_key`.
    draws
        The random streams of each.
    device, dtype
        Where the parameters are to lie, and as what.
    """

    def __init__(
        self, trials: Sequence[Trial], draws: Sequence[Draws], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._trials = trials
        self._draws = draws
        self._device = device
        self._dtype = dtype

    @cached_property
    def model(self) -> Model:
        """The network that computes with every trial's parameters."""
        return self._drawn(0, "backbone")

    def initial(self, environments: int, images: int) -> list[dict[str, Tensor]]:
        """Return each trial's parameters and buffers before the first step: its network's, and the method's own.

        Parameters
        ----------
        environments, images
            Number of training environments, and of training images in all of them.
        """
        return [self._initial(i, environments, images) for i in range(len(self._trials))]

    def fresh(self, trial: int, purpose: str) -> dict[str, Tensor]:
        """Return the parameters of a network of a trial, on the CPU, before `put`.

        Those of the purpose `backbone` are the trial's own before the first step; any other gives an independent draw.
        """
        return self._drawn(trial, purpose).initial()

    def put(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, and if it is floating point, in the stack's dtype."""
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else None)

    def _initial(self, i: int, environments: int, images: int) -> dict[str, Tensor]:
        extra = self._of_method(i, environments, images)
        model = self._drawn(i, "backbone") if i else self.model
        return {name: self.put(tensor) for name, tensor in {**model.initial(), **extra, **self.model.buffers()}.items()}

    def _of_method(self, i: int, environments: int, images: int) -> dict[str, Tensor]:
        method, draws = self._trials[i].method, self._draws[i]
        if not method.overrides(Method.extra_parameters, Method.image_parameters):
            return {}
        generator = torch.Generator().manual_seed(draws.integer("parameters/method"))
        with fresh_state(seed=generator.initial_seed()):
            extra = method.extra_parameters(partial(self.fresh, i), environments, generator)
            of_images = torch.Generator().manual_seed(draws.integer("parameters/images"))
            return extra | method.image_parameters(images, of_images)

    def _drawn(self, i: int, purpose: str) -> Model:
        trial = self._trials[i]
        stream = "parameters" if purpose == "backbone" else f"parameters/{purpose}"
        generator = torch.Generator().manual_seed(self._draws[i].integer(stream))
        with fresh_state(seed=generator.initial_seed()):
            halves = trial.backbone.build(trial.dataset.features, trial.dataset.outputs, generator)
        mixed_on = self._device.type if trial.training.precision == "bf16" else None
        return Model(*halves, inner_averages=trial.backbone.inner_averages, mixed_on=mixed_on)
