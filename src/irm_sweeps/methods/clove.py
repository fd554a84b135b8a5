"""CLOvE: penalise the calibration error of each environment."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.methods.method import Point
from irm_sweeps.methods.penalized import Penalized


class CLOvE(Penalized):
    """Wald et al. (2021): the mean over environments of the squared maximum mean calibration error (MMCE).

    RFC's code (coloredmnist/train.py, clove_train) sums the risks and the errors of the environments, and has weight 1
    before the anneal: `protocol=released`. It draws each step's minibatches anew, and has no l2: training.l2=0.
    MMCE^2 of n images is sum_ij (c_i - r_i)(c_j - r_j) k(r_i, r_j) / n^2, where r is the probability of the predicted
    class, c says whether it is right, and k(r, s) = exp(-|r - s| / width) (Kumar et al. 2018). The kernel has n^2
    entries for each environment: train in minibatches.
    """

    reference: ClassVar[str] = "Wald et al. (2021), CLOvE; MMCE of Kumar et al. (2018)"
    default_lam: ClassVar[float | None] = 1.0
    """Ours: the risk and the calibration error weigh the same. The papers tune it."""

    needs_classes: ClassVar[bool] = True

    width: Annotated[float, Field(gt=0)]
    """Width of the Laplacian kernel, in units of probability: .4 in Kumar et al. and in RFC's code."""

    environments: Literal["mean", "sum"] = "mean"
    """How the environments' errors are pooled: `sum` in RFC's code."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        """Return the mean or sum over environments."""
        del features, risks
        correct = at.loss.correct(logits, at.batch.labels)
        assert correct is not None, "it needs classes"
        confidence = at.loss.confidence(logits)
        assert confidence is not None, "it needs classes"
        pairs = zip(at.batch.split(correct.to(confidence.dtype) - confidence), at.batch.split(confidence), strict=True)
        errors = torch.stack([self._squared_error(gap, own) for gap, own in pairs])
        return errors.sum() if self.environments == "sum" else errors.mean()

    def memory(self, parameters: int, images: int, environments: int) -> int:
        """Return the size of the kernels, and of what their gradient needs."""
        del parameters
        return 6 * images**2 // environments

    def _squared_error(self, gap: Tensor, confidence: Tensor) -> Tensor:
        """Return MMCE^2 of one environment, for correct minus confidence and confidence, `[n]` each."""
        kernel = (-(confidence.unsqueeze(1) - confidence).abs() / self.width).exp()
        return (gap.unsqueeze(1) * gap * kernel).mean()
