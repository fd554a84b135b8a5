"""Results of earlier versions lack the fields at their default: they are read with the values that they had."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import irm_sweeps
from irm_sweeps.config import Component, Training
from irm_sweeps.store.later_fields import COMPONENT, PLACES, TRAINING, declared_defaults, filled
from irm_sweeps.sweep.grid import trials
from irm_sweeps.trial import GROUPS

MINE = """
from irm_sweeps.config import Config

class Mine(Config):
    strength: float
    sides: tuple = (1, 2)
"""
ROOMS = ("data", "backbones", "methods", "training")


def components(base: type[Component]) -> Iterator[type[Component]]:
    """Yield the concrete classes of this package below a class, but for those of `irm_sweeps.testing`."""
    for cls in base.__subclasses__():
        yield from components(cls)
        if cls.__module__.startswith(tuple(f"irm_sweeps.{room}." for room in ROOMS)) and not getattr(
            cls, "__abstractmethods__", ()
        ):
            yield cls


@pytest.fixture(scope="module", autouse=True)
def _all_imported() -> None:
    for room in ROOMS:
        package = importlib.import_module(f"{irm_sweeps.__name__}.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def test_the_list_is_what_the_classes_declare() -> None:
    """If a field was added to a class with its default, add it to the list too."""
    classes = [cls for base in GROUPS.values() for cls in components(base)]
    declared = {f"{cls.__module__}.{cls.__qualname__}": declared_defaults(cls) for cls in classes}
    assert {target: dict(own) for target, own in COMPONENT.items()} == {t: own for t, own in declared.items() if own}
    assert dict(TRAINING) == declared_defaults(Training)


def test_the_places_are_those_that_the_classes_mark() -> None:
    marked = {
        (group, field) for group, base in GROUPS.items() for cls in components(base) for field in cls.place_fields()
    }
    assert marked == {(group, field) for group, fields in PLACES.items() for field in fields}


@pytest.mark.parametrize(
    "choices",
    [
        ["method=irmv1"],
        ["method=irm_games", "optimizer=sgd"],
        ["method=erm", "dataset.noise_gap=0.1", "training.epochs=2"],
        ["method=invrat_ec", "dataset=cifar_mnist", "backbone=resnet18"],
        ["method=erm", "dataset=linear_unit_tests"],
    ],
)
def test_a_canonical_config_becomes_the_whole_one(choices: list[str]) -> None:
    (trial,) = trials(choices).values()
    assert filled(trial.canonical) == trial.config
    assert filled(trial.config) == trial.config
    assert type(trial).from_config(trial.config).id == type(trial).from_config(trial.canonical).id == trial.id


def test_a_users_class_is_asked_only_where_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    (trial,) = trials(["method=irmv1"]).values()
    config = {**trial.canonical, "method": {"_target_": "not_imported_yet.Mine", "strength": 2.0}}
    assert filled(config)["method"] == config["method"]
    assert "not_imported_yet" not in sys.modules
    module = ModuleType("not_imported_yet")
    exec(
        "from irm_sweeps.config import Config\nclass Mine(Config):\n  strength: float\n  sides: tuple = (1, 2)",
        vars(module),
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert filled(config)["method"] == {**config["method"], "sides": [1, 2]}
    monkeypatch.setattr(module, "Mine", "no class")
    assert filled(config)["method"] == config["method"]
