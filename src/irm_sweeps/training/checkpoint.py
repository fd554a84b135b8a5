"""Convert a trial's state to the bytes of a checkpoint and back.

A checkpoint is a safetensors file, which holds tensors and text and cannot execute code, followed by its sha256.
"""

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
"""Maximum size of a checkpoint in bytes: 16 GiB."""
LARGEST_HEADER = 100_000_000
"""Maximum size in bytes of the part with a trial's history: safetensors reads no larger header."""

Step = Annotated[int, Field(ge=0)]


class _Row(BaseModel):
    """A row of a trial's history: the values logged after a step."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Step


class _Evaluation(_Row):
    """The scores of an evaluation."""

    scores: dict[str, dict[str, dict[str, float | None]]]


class _Plain(BaseModel):
    """The content of a checkpoint besides tensors."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Step
    seconds: Annotated[float, Field(ge=0)]
    history: list[_Row]
    evaluations: list[_Evaluation]
    own_code: dict[str, str] = Field(default_factory=dict)


class BadCheckpoint(Exception):
    """The bytes are not a checkpoint of this trial."""


def pack(trial_id: str, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> bytes:
    """Return the checkpoint of one trial: its tensors by name, and its other state as JSON values.

    Raises
    ------
    BadCheckpoint
        `unpack` could not read it: it is too large, or a value is not finite.
    """
    from safetensors.torch import save

    try:
        state = json.dumps(plain, allow_nan=False)
        _Plain.model_validate(parse_json(state))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadCheckpoint(f"{error!r:.300}") from None
    metadata = {"format": FORMAT, "trial_id": trial_id, "state": state}
    content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    header = int.from_bytes(content[:8], "little")
    if header > LARGEST_HEADER or len(content) + _DIGEST_SIZE > LARGEST:
        raise BadCheckpoint(f"it has {len(content):,} bytes, {header:,} of them in its header")
    # The digest, because a power cut may leave a file of the right length whose tensors are zeros.
    return content + hashlib.sha256(content).digest()


def unpack(trial_id: str, content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the other state of a checkpoint made by `pack`.

    Raises
    ------
    BadCheckpoint
        The bytes are truncated, belong to another trial, or are not a checkpoint.
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
