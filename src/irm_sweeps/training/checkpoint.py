"""Convert a trial's state to the bytes of a checkpoint and back.

A checkpoint is a safetensors file, which holds tensors and text and cannot execute code, followed by its sha256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from irm_sweeps.files.untrusted import parse_json

FORMAT = "irm_sweeps checkpoint 2"
_DIGEST_SIZE = hashlib.sha256().digest_size
LARGEST = 2**34
"""Maximum size of a checkpoint in bytes: 16 GiB."""
LARGEST_HEADER = 100_000_000
"""Maximum size in bytes of the part with a trial's history: safetensors reads no larger header."""

Step = Annotated[int, Field(ge=0)]


Measures = dict[str, dict[str, dict[str, Annotated[float, Field(allow_inf_nan=False)] | None]]]


class _Row(BaseModel):
    """A row of a trial's history: the values logged after a step, or the scores of an evaluation."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Step
    scores: Measures | None = None

    @model_validator(mode="after")
    def _logged_values_are_numbers(self) -> Self:
        if wrong := [name for name, value in (self.model_extra or {}).items() if not _is_logged(value)]:
            raise ValueError(f"{wrong[0]:.40} is neither a number nor a list of numbers")
        return self


def _is_logged(value: Any) -> bool:
    """Return whether a value can be that of a logged tensor: numbers, in lists or not, None where one is not finite."""
    if isinstance(value, list):
        return all(map(_is_logged, value))
    return value is None or isinstance(value, int | float)


class _Evaluation(BaseModel):
    """The scores of an evaluation."""

    model_config = ConfigDict(strict=True, extra="forbid")

    step: Step
    scores: Measures


class _Plain(BaseModel):
    """The content of a checkpoint besides tensors."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Step
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    history: list[_Row]
    evaluations: list[_Evaluation]
    own_code: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _rows_are_in_order(self) -> Self:
        for name, rows in (("history", self.history), ("evaluations", self.evaluations)):
            steps = [row.step for row in rows]
            if steps != sorted(steps) or (steps and steps[-1] > self.step):
                raise ValueError(f"the steps of {name} are not in order up to step {self.step}")
        return self


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
        return load(content), _checked(parse_json(metadata["state"]))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"{error!r:.300}") from None


def _checked(plain: Any) -> dict[str, Any]:
    """Return the plain state, whose fields have been checked.

    Raises
    ------
    BadCheckpoint
        One is missing or wrong; the message names it.
    """
    try:
        _Plain.model_validate(plain)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(f"{part!s:.40}" for part in problem["loc"])
        raise BadCheckpoint(f"its state: {place}: {problem['msg']}".replace(": :", ":")) from None
    state: dict[str, Any] = plain
    return state


def check_evaluations(
    plain: Mapping[str, Any], environments: Mapping[str, Sequence[str]], measures: Collection[str]
) -> None:
    """Check that every evaluation of a state has these environments, by split, and at least these measures of each.

    Raises
    ------
    ValueError
        One has not: it is of another dataset.
    """
    expected = {split: set(names) for split, names in environments.items()}
    for evaluation in plain["evaluations"]:
        scores = evaluation["scores"]
        if {split: set(by_environment) for split, by_environment in scores.items()} != expected:
            raise ValueError(f"the evaluation at step {evaluation['step']} has other environments than the trial")
        if any(not own.keys() >= set(measures) for split in scores.values() for own in split.values()):
            raise ValueError(f"the evaluation at step {evaluation['step']} lacks one of {', '.join(measures)}")
