"""A trial's id depends on everything that can change its result, and on nothing else."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import ROOT
from irm_sweeps.compose import compose
from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.methods.rex import VREx
from irm_sweeps.trial import GROUPS, Trial

PINNED = {
    "method=erm": "c7c82e99b8254750",
    "method=irmv1 lam=100 seed=3": "0dda526a751fb0b2",
    "dataset=linear_unit_tests": "7a3dcf5ca6a6abfd",
}
"""If one of these changes, every result that anybody has becomes another trial's: raise `trial.IDENTITY` then."""


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return compose(["method=vrex", "dataset.source=embedded", "lam=10"])


def with_value(config: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed: Any = {**config}
    node = changed
    *groups, leaf = path.split(".")
    for group in groups:
        node[group] = {**node[group]}
        node = node[group]
    node[leaf] = value
    return dict(changed)


def identity(config: dict[str, Any]) -> str:
    return Trial.from_config(config).id


def shuffled(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    rng.shuffle(keys)
    return {key: shuffled(value[key], rng) for key in keys}


@pytest.mark.parametrize("overrides", PINNED)
def test_ids_of_earlier_versions_still_hold(overrides: str) -> None:
    assert identity(compose(overrides.split())) == PINNED[overrides]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_keys_does_not_matter(config: dict[str, Any], seed: int) -> None:
    assert identity(shuffled(config, random.Random(seed))) == identity(config)


def test_another_process_gives_the_same_id(config: dict[str, Any]) -> None:
    script = (
        "from irm_sweeps.compose import compose; from irm_sweeps.trial import Trial;"
        "print(Trial.from_config(compose(['lam=10','dataset.source=embedded','method=vrex'])).id)"
    )
    printed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == identity(config)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("results", "elsewhere"),
        ("data_dir", "elsewhere"),
        ("device", "cuda:3"),
        ("stack", 7),
        ("compile", True),
        ("plan", True),
        ("rerun", "all"),
        ("on_error", "stop"),
        ("checkpoint_seconds", 1),
        ("stall_seconds", 60),
        ("seeds", "until_decided"),
        ("max_seeds", 7),
        ("logger", {"_target_": "irm_sweeps.loggers.none.NoLogger"}),
        ("objective", "last:test/0.9/accuracy"),
    ],
)
def test_how_it_is_run_does_not_matter(config: dict[str, Any], setting: str, value: object) -> None:
    assert identity({**config, setting: value}) == identity(config)


def test_every_setting_is_tried_above() -> None:
    (mark,) = test_how_it_is_run_does_not_matter.pytestmark  # type: ignore[attr-defined]
    assert {setting for setting, _ in mark.args[1]} == set(Settings.model_fields)


OTHER = {
    "lam": 11,
    "seed": 1,
    "dataset.source": "auto",
    "dataset.classes": 5,
    "dataset.p_e": [0.2, 0.15],
    "dataset.label_noise": [0.25, 0.2],
    "dataset.test_p_e": [0.1, 0.9],
    "dataset.test_label_noise": 0.2,
    "dataset.n_train": 60,
    "dataset.n_val": 10,
    "dataset.grayscale": True,
    "backbone.depth": 3,
    "backbone.width": 9,
    "backbone.init": "torch",
    "method.variance": "sample",
    "method.risk": "mean",
    "method.anneal": 7,
    "method.weight_before_anneal": 0.5,
    "method.rescale": "none",
    "method.reset_optimizer": True,
    "training.steps": 9,
    "training.batch_size": 8,
    "training.l2": 0.5,
    "training.evaluate_every": 3,
    "training.log_every": 3,
    "training.precision": "float64",
    "optimizer.lr": 0.5,
}


@pytest.mark.parametrize("key", OTHER)
def test_each_of_these_makes_another_trial(config: dict[str, Any], key: str) -> None:
    assert identity(with_value(config, key, OTHER[key])) != identity(config)


def test_no_field_of_a_trial_is_without_effect(config: dict[str, Any]) -> None:
    """Every field is part of what the id is made of, but for one at the value that older trials had."""
    trial = Trial.from_config(config)
    for group in (*GROUPS, "training"):
        fields = type(getattr(trial, group)).model_fields.items()
        required = {field.alias or name for name, field in fields if field.is_required()}
        assert required <= set(trial.canonical[group]) <= set(config[group]), group
    assert {"lam", "seed"} < set(trial.canonical)


def test_a_whole_number_is_the_same_number(config: dict[str, Any]) -> None:
    for key in ("lam", "training.l2", "optimizer.lr", "dataset.test_label_noise"):
        assert identity(with_value(config, key, 1)) == identity(with_value(config, key, 1.0)), key


def test_lam_does_not_matter_to_a_method_without_penalty() -> None:
    erm = compose(["method=erm"])
    assert identity({**erm, "lam": 1}) == identity({**erm, "lam": 2}) == identity({**erm, "lam": None})


DEFAULT_LAM = {
    **dict.fromkeys(("irmv1", "vrex", "mm_rex", "rvp", "irmx", "birm", "sparse_irm", "zin", "irm_tv", "rfc"), 10_000),
    **dict.fromkeys(("invrat_ec", "invrat_eb", "ib_erm", "ib_irm"), 100),
    **{"fishr": 91257.18613115903, "coral": 1, "meta_irm": 0.7, "iga": 1000, "eqrm": 1000, "clove": 1},
}


@pytest.mark.parametrize("method", DEFAULT_LAM)
def test_null_is_the_methods_own_penalty_weight(method: str) -> None:
    typed = Trial.from_config(compose([f"method={method}", f"lam={DEFAULT_LAM[method]}"]))
    for overrides in ([], ["lam=null"]):
        by_default = Trial.from_config(compose([f"method={method}", *overrides]))
        assert by_default.canonical["lam"] == DEFAULT_LAM[method]
        assert by_default.id == typed.id


def test_a_method_may_have_no_default(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VREx, "default_lam", None)
    with pytest.raises(UserError, match="lam=null: VREx has no default penalty weight: give one"):
        Trial.from_config({**config, "lam": None})


def test_a_key_that_was_removed_is_missed(config: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="`seed` is missing"):
        Trial.from_config({key: value for key, value in config.items() if key != "seed"})


def test_trials_that_differ_in_numbers_share_a_stack(config: dict[str, Any]) -> None:
    key = Trial.from_config(config).stack_key
    for name, value in {
        "lam": 3,
        "seed": 4,
        "optimizer.lr": 0.5,
        "training.l2": 0.0,
        "dataset.p_e": [0.3, 0.1],
        "dataset.label_noise": [0.1, 0.1],
        "method.anneal": 5,
        "dataset.noise_gap": 0.1,
        "dataset.patch_p_e": [0.3, 0.1],
    }.items():
        assert Trial.from_config(with_value(config, name, value)).stack_key == key, name


def test_trials_of_other_shapes_do_not(config: dict[str, Any]) -> None:
    keys = {
        Trial.from_config(with_value(config, name, OTHER[name])).stack_key
        for name in OTHER
        if name not in {"lam", "seed", "optimizer.lr", "training.l2", "method.anneal", "method.weight_before_anneal"}
        and name not in {"dataset.p_e", "dataset.label_noise", "dataset.test_label_noise"}
    }
    assert len(keys) == len(OTHER) - 9
    assert Trial.from_config(config).stack_key not in keys


def test_a_setting_is_never_a_field_of_a_trial() -> None:
    assert not set(Settings.model_fields) & set(Trial.model_fields)


def test_trials_of_one_kind_cost_the_same_even_where_each_trains_alone() -> None:
    """A plan probes a kind once: three seeds of a ResNet, which cannot be stacked, are one."""
    deep = ["dataset=cifar_mnist", "backbone=resnet18"]
    one, other, larger = (
        Trial.from_config(compose([*deep, *own]))
        for own in (["seed=0"], ["seed=1", "optimizer.lr=0.1"], ["dataset.resolution=64"])
    )
    assert one.stack_key != other.stack_key
    assert one.kind == other.kind != larger.kind


def test_a_copy_has_what_follows_from_its_own_fields(config: dict[str, Any]) -> None:
    trial = Trial.from_config(config)
    cached = ("id", "config_id", "config", "canonical", "code", "kind", "stack_key", "numbers")
    before = {name: getattr(trial, name) for name in cached}
    for update in ({"seed": 7}, {"lam": 20.0}, {"training": trial.training.model_copy(update={"steps": 6})}):
        copied = trial.model_copy(update=update)
        anew = Trial.from_config(copied.model_dump(mode="json", by_alias=True))
        assert {name: getattr(copied, name) for name in cached} == {name: getattr(anew, name) for name in cached}
        assert copied.id != trial.id
    assert {name: getattr(trial, name) for name in cached} == before
    assert trial.model_copy().id == trial.id
