"""Trials: one fully resolved config each, and an id that is a hash of what can change the result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field, SerializeAsAny

from irm_sweeps.backbones.backbone import Backbone
from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.config import Component, Config, Settings, Training, build_component, canonical_json, validated
from irm_sweeps.data.dataset import Dataset
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method
from irm_sweeps.overrides.key_hints import unknown_key
from irm_sweeps.provenance import own_git_state
from irm_sweeps.training.optimizers import Optimizer
from irm_sweeps.user_code.of_classes import UserModule, code_of, user_modules_of
from irm_sweeps.user_code.syntax_digest import digest_of_all

IDENTITY = 1
"""Version of the rule that makes ids; a new version gives every trial another id, so that old results do not count."""


class Trial(Config):
    """One training: dataset x backbone x method x penalty weight x hyperparameters x seed."""

    swept: ClassVar[bool] = True
    dataset: SerializeAsAny[Dataset]
    backbone: SerializeAsAny[Backbone]
    method: SerializeAsAny[Method]
    optimizer: SerializeAsAny[Optimizer]
    training: Training
    lam: Annotated[float, Field(ge=0)] | None
    """Penalty weight; in a config null is the method's own default, `Method.default_lam`. A trial whose method has no
    penalty has null, so that it does not tell trials apart."""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Source of everything random: data, noise, parameters, batches."""

    @classmethod
    def from_config(
        cls,
        values: Mapping[str, Any],
        *,
        trusted: bool = True,
        known: dict[tuple[str, str], Config] | None = None,
    ) -> Trial:
        """Validate the trial's part of a resolved config; keys that mean nothing are refused.

        Parameters
        ----------
        trusted
            False for a config that was read from a store: its classes are this package's or already imported.
        known
            Parts of trials that were made from equal values, by group and text of the values: trials share them. What
            is made here is added.

        Raises
        ------
        UserError
            A value is missing, unknown, of the wrong type or out of bounds; the message names it.
        """
        for key in values:
            if key not in KEYS:
                raise unknown_key(key, {name: value for name, value in values.items() if name in KEYS})
        for key in FIELDS:
            if key not in values:
                raise UserError(f"`{key}` is missing: give it a value instead of removing it")
        known = {} if known is None else known
        parts: dict[str, Any] = {}
        for group in (*GROUPS, "training"):
            part = group, repr(values[group])
            if part not in known:
                known[part] = (
                    build_component(values[group], GROUPS[group], group, trusted=trusted)
                    if group in GROUPS
                    else validated(Training, values[group], prefix="training.")
                )
            parts[group] = known[part]
        if parts["training"].similarity in ("inner_step", "both") and not parts["method"].adapts:
            raise UserError(
                f"training.similarity={parts['training'].similarity} needs a method with an inner step, as meta_irm is"
            )
        parts["lam"] = _penalty_weight(parts["method"], values["lam"])
        trial = validated(cls, {**parts, "seed": values["seed"]})
        if not trial.method.uses_lam:
            trial = trial.model_copy(update={"lam": None})
        if trial.code:
            own_git_state(trial.user_modules)  # cached now, while the files are still those that were imported
        return trial

    @property
    def config(self) -> dict[str, Any]:
        """The whole config as plain JSON values, every field at its value: what the store has. Not to be changed.

        It is made anew at each look, from parts that trials share.
        """
        return self._of_parts(lambda part: part.as_json)

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """The config as plain JSON values without those at their default: what the id is made of.

        A field that was added to a class after its first results has a default in the schema: the value which
        earlier trials had. At that value it is left out, so that ids outlive the addition.
        """
        return self._of_parts(lambda part: part.as_short_json)

    def _of_parts(self, plain: Callable[[Config], Any]) -> dict[str, Any]:
        """Return each field, what has fields itself as `plain` makes it."""
        values = ((name, getattr(self, name)) for name in FIELDS)
        return {name: plain(value) if isinstance(value, Config) else value for name, value in values}

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that depend on the config's values, and on the code of the user's own classes."""
        return self.id_with(self.code)

    def id_with(self, code: Mapping[str, str]) -> str:
        """Return the id that the trial has with other code of the user's: `code` as in `self.code`."""
        version = f'"code":"{digest_of_all(code)}",' if code else ""
        return _short_hash(f'{{{version}"identity":{IDENTITY},"trial":{self._text(sorted(FIELDS))}}}')

    @property
    def setting_text(self) -> str:
        """Equal for trials that differ only in the seed and in where something lies."""
        return self._text(name for name in FIELDS if name != "seed")

    def _text(self, names: Iterable[str]) -> str:
        """Return these fields as canonical JSON, without the fields that are marked `Place`."""
        values = ((name, getattr(self, name)) for name in names)
        members = [f'"{name}":{v.identity_text if isinstance(v, Config) else _number(v)}' for name, v in values]
        return f"{{{','.join(members)}}}"

    @cached_property
    def config_id(self) -> str:
        """The id without any code: for classes of this package the id itself."""
        return self.id_with({})

    @cached_property
    def _what(self) -> dict[str, Any]:
        """The canonical config without the fields that are marked `Place`."""
        what = dict(self.canonical)
        for group in GROUPS:
            places = getattr(self, group).place_fields()
            if places:
                what[group] = {key: value for key, value in what[group].items() if key not in places}
        return what

    @cached_property
    def user_modules(self) -> dict[str, UserModule]:
        """The modules that the code of the user's own classes depends on, by name; none for classes of this package."""
        return user_modules_of(type(getattr(self, group)) for group in GROUPS)

    @cached_property
    def code(self) -> dict[str, str]:
        """The sha256 of the syntax tree of each part of the user's code: what the id has of it; see `user_code`."""
        return code_of([type(getattr(self, group)) for group in GROUPS])

    @cached_property
    def stack_key(self) -> str:
        """Equal for trials that may train as one stack: those of one kind, unless they have to train alone."""
        stacks = self.method.stacks and self.backbone.stacks and self.dataset.stacks
        if stacks and self.training.batches == "per_environment":
            return self.kind
        return _digest({"kind": self.kind, "alone": self.id})

    def check_compiles(self) -> None:
        """Check that its moves can run as compiled programs.

        Raises
        ------
        UserError
            They cannot; the message says why.
        """
        if not self.backbone.stacks:
            raise UserError(
                f"compile=true: {type(self.backbone).__name__} does not stack (batch statistics, as a rule): "
                "take compile=false, and backbone.compiled=true where it has that"
            )
        if self.training.batches != "per_environment":
            raise UserError(
                f"compile=true: with training.batches={self.training.batches} each step has another shape: take "
                "training.batches=per_environment, or compile=false"
            )
        if not self.method.compiles:
            raise UserError(f"compile=true: {type(self.method).__name__} cannot be compiled: take compile=false")

    @cached_property
    def kind(self) -> str:
        """Equal for trials that differ only in numbers and seed, and so cost the same."""
        shape: dict[str, Any] = {name: dict(self._what[name]) for name in (*GROUPS, "training")}
        for name, part in shape.items():
            for field in getattr(self, name).per_trial_fields():
                part.pop(field, None)
                value = getattr(getattr(self, name), field)
                if isinstance(value, tuple):
                    part[field] = len(value)
        shape["restart"] = sorted({stage.begins for stage in self.method.stages() if stage.restarts})
        return _digest(shape)

    @cached_property
    def numbers(self) -> dict[str, float]:
        """The scalars that the method's game reads: `lam`, `l2` and its own per-trial fields."""
        numbers = {name: float(getattr(self.method, name)) for name in self.method.per_trial_fields()}
        if self.lam is not None:
            numbers["lam"] = self.lam
        return {**numbers, "l2": self.training.l2}


GROUPS = {group: cast(type[Component], Trial.model_fields[group].annotation) for group in COMPONENTS}
"""The config groups of a trial, and the contract that each choice fulfils: the type of the trial's field."""


FIELDS = tuple(Trial.model_fields)
KEYS = frozenset((*FIELDS, *Settings.model_fields, "paper"))
"""What a resolved config of a trial may have."""


def by_kind(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Return trials by their kind, in the order in which the first of each comes."""
    kinds: dict[str, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(trial.kind, []).append(trial)
    return kinds


def _number(value: float | None) -> str:
    """Return a number or null as JSON; `json.dumps` takes ten times as long."""
    if value is None:
        return "null"
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)


def _penalty_weight(method: Method, lam: Any) -> Any:
    """Return the configured penalty weight, or the method's own default for null.

    Raises
    ------
    UserError
        It is null, and the method has no default.
    """
    if lam is not None or not method.uses_lam:
        return lam
    if method.default_lam is None:
        raise UserError(f"lam=null: {type(method).__name__} has no default penalty weight: give one, e.g. lam=100")
    return method.default_lam


def _digest(value: Any) -> str:
    return _short_hash(canonical_json(value))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
