"""What may stand in the store's files: whoever reads one gets what is described here, or one line that says it is none.

Fields that this version does not know are left alone, and those that earlier versions did not write may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

SCHEMA = 1
"""Version of `result.json`, and of `manifest.json`."""

Status = Literal["completed", "diverged", "failed"]
STATUSES = ("completed", "diverged", "failed")
TRIAL_ID = re.compile(r"[0-9a-f]{16}")
_LAUNCH = r"[0-9]{8}T[0-9]{6}\.[0-9]{6}"
_SWEEP = r"[A-Za-z0-9_.+-]+-[0-9a-f]{8}"


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Id = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{16}\z")]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class _Choice(_Part):
    """A dataset, backbone, method or optimizer."""

    target: str = Field(alias="_target_")


class _Training(_Part):
    steps: Count | None = None


class _Config(_Part):
    dataset: _Choice
    backbone: _Choice
    method: _Choice
    optimizer: _Choice
    training: _Training
    lam: Number | None = None
    seed: Count


class _Scores(_Part):
    """Of one environment; measures of any name, of which these have bounds."""

    __pydantic_extra__: dict[str, Number | None]
    risk: Number | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


class _Chosen(_Part):
    """The evaluation that a selection rule has chosen."""

    step: Count
    scores: dict[str, dict[str, _Scores]]


class _Row(_Part):
    """Of a history: what was logged after a step, or an evaluation."""

    step: Count
    scores: dict[str, dict[str, _Scores]] | None = None


class _Timing(_Part):
    finished: Annotated[str, AfterValidator(_moment)] | None = None
    seconds: Seconds | None = None
    stack_size: Annotated[int, Field(ge=1)] | None = None


class _Error(_Part):
    kind: str = "exception"
    message: str = ""
    details: str = ""


class _Git(_Part):
    commit: str
    dirty: bool = False


class _Hardware(_Part):
    device: str = "auto"
    name: str | None = None
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None


class _Provenance(_Part):
    git: _Git | None = None
    own_code: dict[str, str] = Field(default_factory=dict)
    own_git: _Git | None = None
    software: dict[str, str] = Field(default_factory=dict)
    hardware: _Hardware | None = None
    stack: list[Id] = Field(default_factory=list)
    compiled: bool = False
    parameters_sha256: str | None = None
    data_sha256: dict[str, str] = Field(default_factory=dict)


class _Result(_Part):
    schema_: Literal[1] = Field(alias="schema")
    trial_id: Id
    status: Status
    config: _Config
    metrics: dict[str, _Chosen]
    steps: Count | None = None
    history_rows: Count | None = None
    diverged_at: Count | None = None
    timing: _Timing = _Timing()
    provenance: _Provenance = _Provenance()
    error: _Error | None = None

    @model_validator(mode="after")
    def _a_failure_has_an_error(self) -> _Result:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError(f"status {self.status!r} and error {self.error is not None}")
        return self


class _Settings(_Part):
    data_dir: str
    device: str
    compile: bool = False
    on_error: Literal["continue", "stop"]
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    logger: dict[str, Any] | None = None
    folders: list[str] = Field(default_factory=list)


class _Manifest(_Part):
    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, StringConstraints(pattern=rf"\A{_SWEEP}\z")]
    trials: dict[Id, _Config]
    stacks: list[list[Id]]
    settings: _Settings
    launch: Annotated[str, StringConstraints(pattern=rf"\A{_LAUNCH}\z")]
    created: str
    command: str

    @model_validator(mode="after")
    def _stacks_are_of_its_trials(self) -> _Manifest:
        if unknown := {trial_id for stack in self.stacks for trial_id in stack} - self.trials.keys():
            raise ValueError(f"a stack has {min(unknown)}, which is none of its trials")
        return self


def check_result(values: Any) -> None:
    """Check that values are a result.

    Raises
    ------
    ValueError
        They are not; the message names the first place and what is wrong there.
    """
    _check(_Result, values)


def check_row(values: Any) -> None:
    """Check that values are a row of a history; raises as `check_result`."""
    _check(_Row, values)


def check_manifest(values: Any) -> None:
    """Check that values are a manifest; raises as `check_result`."""
    _check(_Manifest, values)


def _check(model: type[BaseModel], values: Any) -> None:
    if not isinstance(values, Mapping):
        raise ValueError("it is not a mapping")
    if "schema_" in model.model_fields and values.get("schema") != SCHEMA:
        raise ValueError(f"schema {values.get('schema')!r:.40}, this version reads {SCHEMA}")
    try:
        model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(f"{part!s:.40}" for part in problem["loc"])
        told = problem["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {told}" if place else told) from None


def seconds_each(result: Mapping[str, Any]) -> float | None:
    """Return what a trial took, its share of the stack's time; None where that is not known."""
    timing = result.get("timing", {})
    seconds = timing.get("seconds")
    return None if seconds is None else seconds / (timing.get("stack_size") or 1)
