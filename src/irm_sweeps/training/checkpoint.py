"""Checkpoints: safetensors bytes, which hold tensors and text and can execute nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

FORMAT = "irm_sweeps checkpoint 1"


class BadCheckpoint(Exception):
    """Bytes that are no checkpoint of this trial."""


def pack(trial_id: str, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> bytes:
    """Return one trial's state as bytes."""
    from safetensors.torch import save

    metadata = {"format": FORMAT, "trial_id": trial_id, "state": json.dumps(plain, allow_nan=False)}
    return save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata)


def unpack(trial_id: str, content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read back `pack`.

    Raises
    ------
    BadCheckpoint
        The bytes are cut short, of another trial, or no checkpoint at all.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        if metadata["format"] != FORMAT or metadata["trial_id"] != trial_id:
            raise BadCheckpoint(f"it is of {metadata['format']!r}, trial {metadata['trial_id']!r}")
        plain = json.loads(metadata["state"])
        return load(content), plain
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadCheckpoint(repr(error)) from None
