"""Checkpoints: safetensors bytes, which hold tensors and text and can execute nothing, and their sha256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

FORMAT = "irm_sweeps checkpoint 2"
_DIGEST_SIZE = hashlib.sha256().digest_size


class BadCheckpoint(Exception):
    """Bytes that are no checkpoint of this trial."""


def pack(trial_id: str, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> bytes:
    """Return one trial's state as bytes."""
    from safetensors.torch import save

    metadata = {"format": FORMAT, "trial_id": trial_id, "state": json.dumps(plain, allow_nan=False)}
    content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    # A power cut may leave a file of the right length with zeros where tensors were: it reads as one.
    return content + hashlib.sha256(content).digest()


def unpack(trial_id: str, content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read back `pack`.

    Raises
    ------
    BadCheckpoint
        The bytes are cut short, of another trial, or no checkpoint at all.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise BadCheckpoint("it is cut short, or of another version")
    try:
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        if metadata["format"] != FORMAT or metadata["trial_id"] != trial_id:
            raise BadCheckpoint(f"it is of {metadata['format']!r}, trial {metadata['trial_id']!r}")
        plain = json.loads(metadata["state"])
        return load(content), plain
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadCheckpoint(repr(error)) from None
