"""What a trial's training has measured so far, and the digest of its parameters."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from irm_sweeps.training.selection import Evaluation


@dataclass
class Progress:
    """A trial's history and evaluations so far."""

    history: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)


def digest(tensors: Mapping[str, Tensor], trial: int) -> str:
    """Return the sha256 of the names and bytes of one trial's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor[trial].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def json_number(value: Any) -> Any:
    """Return a number, or lists of numbers, with None where one is not finite."""
    if isinstance(value, list):
        return [json_number(v) for v in value]
    return value if math.isfinite(value) else None
