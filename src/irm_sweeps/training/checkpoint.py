"""Checkpoints: safetensors bytes, which hold tensors and text and can execute nothing, and their sha256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from irm_sweeps.files.untrusted import parse_json

FORMAT = "irm_sweeps checkpoint 2"
_DIGEST_SIZE = hashlib.sha256().digest_size
LARGEST = 2**34
"""Most bytes of a checkpoint: 16 GiB."""

Step = Annotated[int, Field(ge=0)]


class _Row(BaseModel):
    """Of a history: what was logged after a step."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Step


class _Evaluation(_Row):
    scores: dict[str, dict[str, dict[str, float | None]]]


class _Plain(BaseModel):
    """What a checkpoint holds besides tensors."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Step
    seconds: Annotated[float, Field(ge=0)]
    history: list[_Row]
    evaluations: list[_Evaluation]
    own_code: dict[str, str] = Field(default_factory=dict)


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
        if size > len(content) - 8:
            raise BadCheckpoint(f"its header claims {size} bytes of {len(content)}")
        metadata = parse_json(content[8 : 8 + size])["__metadata__"]
        if metadata["format"] != FORMAT or metadata["trial_id"] != trial_id:
            raise BadCheckpoint(f"it is of {metadata['format']!r:.80}, trial {metadata['trial_id']!r:.80}")
        plain = parse_json(metadata["state"])
        _Plain.model_validate(plain)
        return load(content), plain
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"{error!r:.300}") from None
