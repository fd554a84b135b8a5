"""What the store's files have in common: ids, statuses, a trial's config, and the check of a file's content.

Fields that this version does not know are left alone, and those that earlier versions did not write may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError

SCHEMA = 1
"""Version of `result.json`, and of `manifest.json`."""

Status = Literal["completed", "diverged", "failed"]
STATUSES: tuple[Status, ...] = ("completed", "diverged", "failed")
TRIAL_ID = re.compile(r"[0-9a-f]{16}")

TrialId = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{16}\z")]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of a file: immutable, never converted from another type, with whatever else stands in the file."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    @classmethod
    def from_values(cls, values: Any) -> Self:
        """Return what a mapping holds, which is not to be changed afterwards.

        Raises
        ------
        ValueError
            It holds no such thing; the message names the first place and what is wrong there.
        """
        return validated(cls, values)

    def recorded(self) -> dict[str, Any]:
        """Return what the file has: the known fields in the order of the class, then the others."""
        known = {name: value for name, value in self.__dict__.items() if name in self.model_fields_set}
        return {**known, **(self.model_extra or {})}


class _Component(Part):
    """A dataset, backbone, method or optimizer."""

    target: str = Field(alias="_target_")


class _Training(Part):
    steps: Count | None = None


class _Config(Part):
    dataset: _Component
    backbone: _Component
    method: _Component
    optimizer: _Component
    training: _Training
    lam: Number | None = None
    seed: Count


def _checked(values: Any) -> Any:
    _Config.model_validate(values)
    return values


Config = Annotated[Mapping[str, Any], PlainValidator(_checked)]
"""A trial's config as it lies in the file, of which the parts that every trial has are checked."""


def check_config(values: Any) -> None:
    """Check the parts that the config of every trial has.

    Raises
    ------
    ValueError
        One is missing or wrong; the message names it.
    """
    validated(_Config, values)


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Any) -> Model:
    """Return values as a model.

    Raises
    ------
    ValueError
        They are not of this kind; the message names the first place and what is wrong there.
    """
    if not isinstance(values, Mapping):
        raise ValueError("it is not a mapping")
    if "schema_" in model.model_fields and values.get("schema") != SCHEMA:
        raise ValueError(f"schema {values.get('schema')!r:.40}, this version reads {SCHEMA}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(f"{part!s:.40}" for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {reason}" if place else reason) from None
