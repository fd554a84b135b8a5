"""A config with an exchanged choice is the one that Hydra composes, or there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from irm_sweeps.compose import compose, yamls
from irm_sweeps.sweep import grid
from irm_sweeps.sweep.exchanged import Exchange, in_one_order
from irm_sweeps.sweep.grid import HydraCache, expand

KNOWN = ("backbone=mlp", "dataset=colored_mnist", "method=erm", "optimizer=adam")


def exchanged(word: str, known: tuple[str, ...] = KNOWN) -> tuple[dict | None, dict]:
    """Return the config of `known` with one choice exchanged, and that which Hydra composes."""
    exchange, group = Exchange(), word.partition("=")[0]
    exchange.add(known, compose(known))
    words = [word if one.startswith(f"{group}=") else one for one in known]
    return exchange.config_of(words), compose(words)


@pytest.mark.parametrize("group", ["backbone", "dataset", "method", "optimizer"])
def test_every_choice_of_the_package_gives_what_hydra_composes(group: str) -> None:
    made = 0
    for path in yamls(group):
        config, composed = exchanged(f"{group}={path.stem}")
        if config is not None:
            assert json.dumps(config) == json.dumps(composed), path
            made += 1
    assert made == len(yamls(group)) - 1, "all but the known one itself"


def test_the_order_of_choices_makes_no_difference() -> None:
    words = ["method=vrex", "dataset=cifar_mnist", "optimizer=sgd", "backbone=resnet18"]
    assert in_one_order(words) == tuple(sorted(words))
    assert json.dumps(compose(words)) == json.dumps(compose(in_one_order(words)))
    assert in_one_order(["method=vrex", "+method.x=1"]) == ("method=vrex", "+method.x=1")
    assert in_one_order(["method=vrex", "method=erm"]) == ("method=vrex", "method=erm")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder of YAMLs."""
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path))
    (tmp_path / "method").mkdir()
    (tmp_path / "protocol" / "method").mkdir(parents=True)
    (tmp_path / "method" / "plain.yaml").write_text("_target_: irm_sweeps.methods.erm.ERM\nrisk: sum\nscale: 1e-3\n")
    return tmp_path


def test_a_users_own_choice_is_exchanged_too(own: Path) -> None:
    config, composed = exchanged("method=plain")
    assert config == composed
    assert composed["method"]["scale"] == 0.001


@pytest.mark.parametrize(
    "text",
    [
        "defaults: [erm]\nrisk: sum\n",
        "# @package _global_\nmethod: {_target_: irm_sweeps.methods.erm.ERM}\nlam: 7\n",
        "_target_: irm_sweeps.methods.erm.ERM\nrisk: ${lam}\n",
    ],
    ids=["defaults", "package", "reference"],
)
def test_hydra_composes_what_is_more_than_values(own: Path, text: str) -> None:
    (own / "method" / "special.yaml").write_text(text)
    assert exchanged("method=special")[0] is None
    known = ("backbone=mlp", "dataset=colored_mnist", "method=special", "optimizer=adam")
    assert exchanged("optimizer=sgd", known)[0] is None, "another choice may depend on it"


@pytest.mark.parametrize("name", ["plain", "erm", "plain_mlp"])
def test_hydra_composes_what_the_protocol_changes(own: Path, name: str) -> None:
    (own / "protocol" / "method" / f"paper_{name}.yaml").write_text("risk: mean\n")
    assert exchanged("method=plain")[0] is None
    (own / "protocol" / "method" / f"paper_{name}.yaml").rename(own / "protocol" / "method" / f"other_{name}.yaml")
    assert exchanged("method=plain")[0] is not None


def test_an_unknown_choice_is_left_to_hydra() -> None:
    exchange = Exchange()
    exchange.add(KNOWN, compose(KNOWN))
    assert exchange.config_of([*KNOWN[:2], "method=nothing", KNOWN[3]]) is None


def test_a_grid_over_choices_equals_hydras_own(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["method=erm,vrex,irmx", "dataset=colored_mnist,colored_mnist_01", "lam=1,2"]
    found = list(expand(words, HydraCache()))
    monkeypatch.setattr(grid.Exchange, "config_of", lambda self, words: None)
    assert found == list(expand(words, HydraCache()))
