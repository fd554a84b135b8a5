"""The features of a batch's images, which several moves share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER, Model, Parameters

_ENCODER = ("representation.", f"{BUFFER}representation.")
"""How the names of the encoder's tensors begin."""


@dataclass
class KeptFeatures:
    """The features that a move has computed, for later moves on the same images.

    Attributes
    ----------
    frozen
        Whether no move of the step moves the encoder. The features have no graph then, and later steps may use them.
    features
        `[n, width]`; None until a move needs them.
    random
        Whether the pass drew from torch's global generator, as dropout does: another step has to pass again.
    """

    frozen: bool = False
    features: Tensor | None = None
    random: bool = False


@dataclass(frozen=True)
class EncoderPass:
    """The encoder's pass with these parameters over these inputs, made once.

    A point that a method derives from its own, with other parameters or inputs, does not use it: see `serves`.
    """

    kept: KeptFeatures
    parameters: Parameters
    inputs: Tensor

    def serves(self, parameters: Parameters, inputs: Tensor) -> bool:
        """Return whether the encoder's tensors among `parameters`, and the inputs, are those of this pass."""
        if inputs is not self.inputs:
            return False
        return all(parameters.get(name) is mine for name, mine in self.parameters.items() if name.startswith(_ENCODER))

    def features(self, model: Model) -> Tensor:
        """Return h_u of the inputs, `[n, width]`, without a graph where the encoder is frozen."""
        if self.kept.features is not None:
            return self.kept.features
        if self.kept.frozen:
            before = _drawn(self.inputs.device)
            with torch.enable_grad():  # by the kernels of a pass that is differentiated: to the same bits
                features = model.represent(self.parameters, self.inputs).detach()
            self.kept.random = not torch.equal(before, _drawn(self.inputs.device))
        else:
            features = model.represent(self.parameters, self.inputs)
        if self.kept.frozen or torch.is_grad_enabled():
            self.kept.features = features
        return features


def _drawn(device: torch.device) -> Tensor:
    """Return the state of torch's global generator of a device. Both generators' states lie on the host."""
    on_gpu = device.type == "cuda" and torch.cuda.is_initialized()
    return torch.cuda.get_rng_state(device) if on_gpu else torch.get_rng_state()
