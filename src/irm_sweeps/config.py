"""The schema of a trial: what a config may hold, with types, bounds and meaning.

Values and defaults live in `conf/`, one commented YAML per choice; meaning lives here and beside the code
that uses it. Every dataset, backbone, method and optimizer is a frozen pydantic model whose fields are its
configuration (a field's docstring is its documentation) and whose methods do the work. A YAML names its
model under `_target_`, so that a file outside this package is used the same way.

Fields have no defaults here, with one exception: a field added after a class's first results defaults to
what those results had, and at that value it is not part of a trial's identity.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import expanded
from irm_sweeps.overrides.key_hints import unknown_field
from irm_sweeps.process_state import fresh_state, not_restored
from irm_sweeps.process_state.replaced import Functions, record_import
from irm_sweeps.user_code import modules as user_modules


class PerTrial:
    """Marks a field that may differ between the trials of one stack: a number that shapes no tensor.

    A method's reaches its game as `at.numbers[NAME]`. What is asked once for all trials of a stack (`players`, `pace`,
    `moves`, `stages`) must not depend on one: the stack fails, and its trials train in smaller ones.
    """


class Place:
    """Marks a field that says where something lies, not what it is: no part of a trial's identity."""


Number = Annotated[float, PerTrial()]
"""A float that trials of one stack may differ in."""

Count = Annotated[int, PerTrial(), Field(ge=0)]
"""A non-negative integer that trials of one stack may differ in."""


class Config(BaseModel):
    """Base of everything configurable: immutable, and an unknown field is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )
    swept: ClassVar[bool] = False
    """Whether the trials of a sweep may differ in its fields."""

    @classmethod
    def per_trial_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields marked `PerTrial`, in order of definition."""
        return _marked(cls, PerTrial)

    @classmethod
    def place_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields marked `Place`."""
        return _marked(cls, Place)

    @cached_property
    def as_json(self) -> dict[str, Any]:
        """Every field at its value, as plain JSON values. Not to be changed."""
        return self.model_dump(mode="json", by_alias=True)

    @cached_property
    def as_short_json(self) -> dict[str, Any]:
        """As `as_json`, without the fields at their default. Not to be changed."""
        short = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return cast(dict[str, Any], json.loads(json.dumps(short, allow_nan=False)))

    @cached_property
    def identity_text(self) -> str:
        """`as_short_json` without the fields marked `Place`, as canonical JSON text."""
        places = self.place_fields()
        return canonical_json({key: value for key, value in self.as_short_json.items() if key not in places})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, of which the cached properties are computed anew: from its own fields."""
        copy = super().model_copy(update=update, deep=deep)
        for name in [name for name in vars(copy) if isinstance(getattr(type(self), name, None), cached_property)]:
            del vars(copy)[name]
        return copy


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value, with its keys sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@cache
def _marked(model: type[Config], mark: type) -> tuple[str, ...]:
    fields = model.model_fields.items()
    return tuple(name for name, field in fields if any(isinstance(m, mark) for m in field.metadata))


class Component(Config):
    """A configurable part of a trial (dataset, backbone, method, optimizer), named by its `_target_`."""

    swept: ClassVar[bool] = True
    target: str = Field(default="", alias="_target_")
    """Import path of the class, as the YAML gave it; part of the trial's identity."""

    @model_validator(mode="before")
    @classmethod
    def _name_itself(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("_target_"):
            return {**values, "_target_": f"{cls.__module__}.{cls.__qualname__}"}
        return values


class Training(Config):
    """How long and how a trial trains. Every field is part of the trial's identity."""

    swept: ClassVar[bool] = True
    steps: Annotated[int, Field(ge=0)] | None
    """Parameter updates; null where `epochs` says it."""
    epochs: Annotated[int, Field(ge=0)] | None = None
    """Passes over the training images, in place of `steps`. In a step of per-environment batches every
    environment advances by `batch_size` images; of environments that differ in size the largest is passed over
    so often."""
    batch_size: Annotated[int, Field(ge=1)] | None
    """Images per training environment and step, or with `batches=pooled` of all together; null: all of them at
    every step (full batch). An environment that has fewer is in every batch as a whole."""
    batches: Literal["per_environment", "pooled"] = "per_environment"
    """`per_environment`: equally many images of each environment in every step, but for one that has fewer. `pooled`:
    drawn from all images together, as lin2021's released code does, so that an environment's share varies; such
    trials train alone."""
    l2: Annotated[Number, Field(ge=0)]
    """Coefficient of the sum of squares of all parameters, added to the loss as Arjovsky et al. do. Equals
    an optimizer's `weight_decay` of twice this value for SGD."""
    evaluate_every: Annotated[int, Field(ge=0)]
    """Steps between evaluations of all splits during training; 0: only at the end. The selection rules
    `val` and `oracle` choose among these evaluations."""
    evaluate_train: Annotated[int, Field(ge=1)] | None = None
    """Training images per environment that evaluations look at; null: all of them."""
    log_every: Annotated[int, Field(ge=1)]
    """Steps between the rows of `history.jsonl` (risks, penalty, objective)."""
    precision: Literal["float32", "float64", "bf16"]
    """Number format of parameters, inputs and optimizer state. `bf16`: float32, but the products of layers take
    bfloat16 inputs (mixed precision); losses, penalties and evaluations stay in float32."""
    similarity: Literal["none", "environments", "inner_step", "both"] = "none"
    """PWCCA to measure at every evaluation (see `irm_sweeps.training.similarity`): of each test environment's
    representation to the first one's (bae2021 Figure 10), or of each layer before and after the method's inner
    step (Figure 9), on at most 10,000 inputs."""

    @model_validator(mode="before")
    @classmethod
    def _epochs_replace_steps(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("epochs") is not None:
            return {**values, "steps": None}
        return values

    @model_validator(mode="after")
    def _has_a_length(self) -> Training:
        if self.steps is None and self.epochs is None:
            raise ValueError("steps=null and epochs=null: give one of them")
        return self


class Settings(Config):
    """How a command runs. Nothing here can change a trial's result, so none of it is in the trial's identity."""

    results: Path
    """Directory of the store: one folder per trial, shared by all sweeps and machines."""
    data_dir: Path
    """Directory with the data files; the README says which."""
    device: str
    """`auto` (the first visible GPU, else the CPU), `cpu`, `cuda` or `cuda:N`."""
    stack: Annotated[int, Field(ge=1)] | Literal["auto"]
    """Most trials trained together as one stack; `auto` chooses by device and shape."""
    compile: bool | Literal["auto"]
    """Whether each move of a step runs as one compiled program (see `irm_sweeps.training.moves`); `auto` chooses by
    device, shape and number of steps."""
    plan: bool
    """Only list what would run and what is done."""
    rerun: Literal["missing", "failed", "changed", "all"]
    """Which trials run: those without a result; also those that failed or diverged; also those whose result was
    made by other code of this package; or all. An edit of a class of one's own makes other trials."""
    on_error: Literal["continue", "stop"]
    """Whether a failed trial ends alone or ends the sweep."""
    checkpoint_seconds: Annotated[float, Field(gt=0)]
    """Most seconds of training that a killed process loses."""
    stall_seconds: Annotated[float, Field(gt=0)] | None
    """Seconds without a step after which a worker ends as if it had died; null: never."""
    seeds: Literal["until_decided"] | None
    """Null: those of `seed`; `until_decided`: of a paper, seeds are added to each cell until its verdict is decided
    (see `irm_sweeps.analysis.papers.until_decided`)."""
    max_seeds: Annotated[int, Field(ge=3)]
    """Most seeds of a cell under `seeds=until_decided`."""
    logger: dict[str, Any] | None
    """Where training curves go besides `history.jsonl`: the config of an `irm_sweeps.loggers.logger.Logger`."""
    objective: str
    """What `launch.py` returns to a searching sweeper: see `irm_sweeps.sweep.objective`."""

    @field_validator("results", "data_dir", mode="before")
    @classmethod
    def _is_typed(cls, value: Any) -> Any:
        if not isinstance(value, str | Path) or not str(value).strip():
            raise ValueError("give the path of a directory; a name that is a number is written ./NAME")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        if value not in (None, "until_decided"):
            raise ValueError("give until_decided; which seeds there are is said by seed, e.g. 'seed=range(0,3)'")
        return value

    @field_validator("stack", mode="before")
    @classmethod
    def _stack(cls, value: Any) -> Any:
        if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError("give auto, or a whole number from 1 on")
        return value

    @field_validator("compile", mode="before")
    @classmethod
    def _compile(cls, value: Any) -> Any:
        try:
            return value if value == "auto" else TypeAdapter(bool).validate_python(value)
        except ValidationError:
            raise ValueError("give true, false or auto") from None

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Settings:
        """Validate the settings' part of a resolved config; paths become absolute."""
        for name in cls.model_fields:
            if name not in values:
                raise UserError(f"`{name}` is missing: give it a value instead of removing it")
        settings = validated(cls, {name: values[name] for name in cls.model_fields})
        if not _DEVICE.fullmatch(settings.device):
            hint = " (did you mean `cuda`?)" if settings.device.startswith("gpu") else ""
            raise UserError(f"device={settings.device}: choose auto, cpu, cuda or cuda:N{hint}")
        places = {name: expanded(getattr(settings, name), name) for name in ("results", "data_dir")}
        for name, place in places.items():
            if not str(place).isprintable():
                raise UserError(
                    f"{name}={str(place)!r}: a control character, such as the end of a line, or a byte that is not "
                    "UTF-8 makes no path that scripts can hold: give another directory"
                )
        return settings.model_copy(update=places)


_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,4})?")


C = TypeVar("C", bound=Component)


def import_class(target: str, base: type[C], group: str, *, trusted: bool = True) -> type[C]:
    """Import `package.module.Class` and check that it is a concrete `base`; nothing is called.

    Parameters
    ----------
    trusted
        Whether the user has typed or written the path. One that was read from a store imports nothing but this
        package: it may name a class of another only where this process has imported it before.

    Raises
    ------
    UserError
        The path does not lead to a class of the right kind.
    """
    module_name, _, class_name = target.rpartition(".")
    try:
        from_package = user_modules.is_package_module(target)
        if trusted or from_package:
            with nullcontext() if from_package or module_name in sys.modules else _first_import(module_name):
                imported = getattr(importlib.import_module(module_name), class_name)
        else:
            imported = vars(sys.modules[module_name])[class_name] if module_name in sys.modules else None
    except (Exception, SystemExit) as error:  # the module is the user's: it may raise whatever it likes
        reason = " ".join(str(error).split()) or type(error).__name__
        looked = user_modules.where(module_name, class_name)
        raise UserError(f"{group}._target_={target!r:.200} cannot be imported: {reason:.300}{looked}") from None
    if imported is None:
        raise UserError(
            f"{group}._target_={target!r:.200} is no class of irm_sweeps, and what a store names is not imported"
        )
    if not (isinstance(imported, type) and issubclass(imported, base)):
        raise UserError(
            f"{group}._target_={target!r:.200} is not a {base.__name__}: subclass {base.__module__}.{base.__name__}"
        )
    if missing := sorted(getattr(imported, "__abstractmethods__", ())):
        raise UserError(
            f"{group}._target_={target!r} has no {', '.join(missing)}: give it what {base.__name__} asks for"
        )
    return imported


@contextmanager
def _first_import(module: str) -> Iterator[None]:
    """Import one of the user's modules in the block: undo its changes to the process's settings, and store its sha256.

    What cannot be undone, as functions of torch that it replaces, is recorded: see `worker.lasting_changes`.
    Environment variables stay: a module that sets one, for a library that it uses, is imported only once.
    """
    functions, failures = Functions(), len(not_restored)
    with fresh_state(environment=False):
        yield
    record_import(module, functions.replaced() | set(not_restored[failures:]))
    user_modules.remember()


def build_component(values: Mapping[str, Any], base: type[C], group: str, *, trusted: bool = True) -> C:
    """Validate one config group against the class that its `_target_` names; `trusted`: see `import_class`."""
    target = values.get("_target_") if isinstance(values, Mapping) else None
    if not isinstance(target, str) or not target:
        raise UserError(f"{group} has no `_target_`: its YAML must name a class, e.g. `_target_: my_file.MyClass`")
    return validated(import_class(target, base, group, trusted=trusted), values, prefix=f"{group}.")


def validated(model: type[M], values: Mapping[str, Any], prefix: str = "") -> M:
    """Return `model(**values)`; what is wrong with the values becomes one `UserError` line."""
    if not isinstance(values, Mapping):
        raise UserError(f"{prefix.rstrip('.')}={values!r:.80}: give keys and values")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UserError("; ".join(_explain(problem, model, prefix) for problem in error.errors())) from None


M = TypeVar("M", bound=Config)


def _explain(problem: Any, model: type[Config], prefix: str) -> str:
    place = prefix + ".".join(str(part) for part in problem["loc"] if part != "_target_")
    if problem["type"] == "extra_forbidden":
        owner = _model_at(model, problem["loc"][:-1])
        name = owner.__name__ if owner and issubclass(owner, Component) else ""
        return unknown_field(place, name, owner.model_fields if owner else ())
    if problem["type"] == "missing":
        return f"`{place}` is missing: give it in the YAML or on the command line"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        names_key = re.match(r"(\w+)=", message)
        names_key = names_key if names_key and names_key[1] in model.model_fields else None
        if prefix and message.startswith(prefix):
            return message
        return f"{prefix}{message}" if names_key else f"{prefix.rstrip('.')}: {message}"
    if not all(isinstance(part, str) for part in problem["loc"][:1]):
        return f"{prefix.rstrip('.')}: a key is {problem['loc'][0]!r}, not a word: quote it in the YAML"
    hint = _sweep_meant(place, problem["input"]) if model.swept and _NUMERIC.match(problem["type"]) else ""
    if problem["type"] in ("tuple_type", "list_type") and isinstance(problem["input"], str | int | float):
        listed = shlex.quote(f"{place}=[{problem['input']}]")
        hint = f"; a list is written in brackets: {listed}"
    return f"{place}={problem['input']!r}: {message[0].lower()}{message[1:]}{hint}"


def _model_at(model: type[Config], place: Sequence[Any]) -> type[Config] | None:
    """Return the model that a place inside another one's values belongs to, through lists and mappings of models."""
    kind: Any = model
    for part in place:
        if isinstance(kind, type) and issubclass(kind, Config):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else None
            if type(None) in get_args(kind):
                kind = get_args(kind)[0]
        else:
            kind = next((inner for inner in get_args(kind) if isinstance(inner, type) and inner is not str), None)
    return kind if isinstance(kind, type) and issubclass(kind, Config) else None


_NUMERIC = re.compile("int_|float_|greater_|less_")
"""What pydantic calls a complaint about a number."""
_N = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_FROM_TO = re.compile(rf"{_N}(?:\.\.\.?|:|-){_N}", re.IGNORECASE)


def _sweep_meant(place: str, value: Any) -> str:
    """Return how to sweep a value written as `0..3`, `0-3`, `0:3` or `[0, 1]`; an empty string for other values."""
    if isinstance(value, list) and value and all(isinstance(one, int | float) for one in value):
        return f"; several values are a sweep: -m {place}={','.join(map(str, value))}"
    if not isinstance(value, str) or not (match := _FROM_TO.fullmatch(value)):
        return ""
    first, last = match.groups()
    listed = f"{place}={first},{last}"
    if not (first + last).isdigit():
        return f"; several values are a sweep: -m {listed}"
    between = shlex.quote(f"{place}=range({first},{last})")
    return f"; several values are a sweep: -m {between} (without {last}), or {listed}"
