"""The fields of a config that were added after the first results, which results of before do not have.

They stand here by class, with the value that those results had, so that whoever reads a store need not import the
classes, and torch with them. A test holds this list equal to the classes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.user_code.modules import is_package_module

TRAINING: Mapping[str, Any] = {
    "epochs": None,
    "batches": "per_environment",
    "evaluate_train": None,
    "similarity": "none",
}
_WEIGHTS = {"weights_sha256": None, "weights_path": None}
_HEAD = {"head": "penalised"}
_ADVERSARY = {"adversary_schedule": "trial"}
_SCHEDULE = {"decay_at": [], "decay": 0.2, "cosine_from": None}
COMPONENT: Mapping[str, Mapping[str, Any]] = {
    "irm_sweeps.backbones.resnet.ResNet": _WEIGHTS,
    "irm_sweeps.backbones.resnet.ResNet18": _WEIGHTS,
    "irm_sweeps.backbones.resnet.ResNet50": _WEIGHTS,
    "irm_sweeps.data.colored_mnist.ColoredMNIST": {
        "noise_gap": 0.0,
        "noisier": "low_p_e",
        "patch": "none",
        "patch_p_e": [0.1, 0.2],
        "patch_intensity": 1.0,
        "patch_resolution": 14,
        "patch_channel": "colour",
        "side": "none",
    },
    "irm_sweeps.data.linear_unit_tests.LinearUnitTests": {"shuffled": False, "margin_noise": 0.1},
    "irm_sweeps.data.punctuated_sst2.PunctuatedSST2": {"logits": 1},
    "irm_sweeps.methods.birm.BIRM": _HEAD,
    "irm_sweeps.methods.bottleneck.IBERM": {"reset_optimizer": False},
    "irm_sweeps.methods.bottleneck.IBIRM": _HEAD,
    "irm_sweeps.methods.clove.CLOvE": {**_HEAD, "environments": "mean"},
    "irm_sweeps.methods.fishr.Fishr": _HEAD,
    "irm_sweeps.methods.iga.IGA": _HEAD,
    "irm_sweeps.methods.invrat.InvRatEB": _ADVERSARY,
    "irm_sweeps.methods.invrat.InvRatEC": _ADVERSARY,
    "irm_sweeps.methods.irm_games.IRMGames": {
        "inner_batch": "same",
        "risk": "sum",
        "warm_up": 0,
        "forget_warm_up": False,
        "classifier_l2": True,
        "representation_weight": 1.0,
    },
    "irm_sweeps.methods.irmv1.IRMv1": _HEAD,
    "irm_sweeps.methods.irmx.IRMX": _HEAD,
    "irm_sweeps.methods.pair.PAIR": {"erm_lr": None},
    "irm_sweeps.methods.rex.MMREx": _HEAD,
    "irm_sweeps.methods.rex.RVP": _HEAD,
    "irm_sweeps.methods.rex.VREx": _HEAD,
    "irm_sweeps.training.optimizers.Adam": _SCHEDULE,
    "irm_sweeps.training.optimizers.SGD": _SCHEDULE,
}
"""By import path of a class of this package."""

PLACES = {"backbone": {"weights_path"}}
"""The fields of this package's classes that are marked `irm_sweeps.config.Place`, by group: no part of a setting."""


def filled(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config with the later fields that it lacks, at the values that it was trained with.

    A user's class tells its defaults where this process has imported it; nothing is imported here.
    """
    whole = dict(config)
    for group in COMPONENTS:
        own = config[group]
        whole[group] = _with(own, defaults_of(own["_target_"]))
    whole["training"] = _with(config["training"], TRAINING)
    return whole


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the fields that say where something lies, by which settings do not differ."""
    left = {group: {k: v for k, v in config[group].items() if k not in places} for group, places in PLACES.items()}
    return {**config, **left}


def _with(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    missing = {key: value for key, value in defaults.items() if key not in own}
    return {**own, **missing} if missing else own


def defaults_of(target: str) -> Mapping[str, Any]:
    """Return the defaults of a class's fields, as plain JSON; none of a user's class that is not imported."""
    if is_package_module(target):
        return COMPONENT.get(target, {})
    module, _, name = target.rpartition(".")
    cls = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return declared_defaults(cls) if isinstance(cls, type) and issubclass(cls, BaseModel) else {}


def declared_defaults(cls: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults that a class declares, as plain JSON; without those that a factory makes."""
    fields = {name: field for name, field in cls.model_fields.items() if field.alias != "_target_"}
    declared = {name: field.default for name, field in fields.items() if field.default is not PydanticUndefined}
    return {name: to_jsonable_python(value, by_alias=True) for name, value in declared.items()}
