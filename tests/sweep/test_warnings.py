"""Warnings before work: on stderr, once, with the trials and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import SMALL, launch
from irm_sweeps.compose import compose
from irm_sweeps.config import Settings
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.sweep import warnings as module
from irm_sweeps.sweep.grid import expand, trials
from irm_sweeps.sweep.stacks import SHARE, Machine
from irm_sweeps.sweep.warnings import lam_without_effect, warnings
from irm_sweeps.training.footprint import Footprint
from irm_sweeps.trial import Trial

QUICK = [override for override in SMALL if not override.startswith("training.steps")]


def said(*overrides: str) -> list[str]:
    settings = Settings.from_config(compose([]))
    return list(warnings(list(trials([*QUICK, *overrides]).values()), settings, InProcess()))


def said_of_lam(*overrides: str) -> list[str]:
    configs = list(expand(overrides))
    return list(lam_without_effect(configs, [Trial.from_config(config) for config in configs]))


@pytest.mark.parametrize(
    "method", ["irmv1", "vrex", "mm_rex", "rvp", "fishr", "ib_erm", "ib_irm", "invrat_ec", "invrat_eb"]
)
def test_a_penalty_that_never_acts(method: str) -> None:
    late = [f"method={method}", "method.anneal=30", "lam=1,100", *["method.ib_anneal=4"] * (method == "ib_irm")]
    (line,) = said(*late, "training.steps=30")
    assert "2 trials (" in line
    assert "lam=1 seed=0" in line
    assert "method.anneal=30 is not below training.steps=30: give e.g. method.anneal=10, or more steps" in line
    assert not said(*late, "training.steps=31")
    assert not said(*late, "training.steps=0")


def test_a_sweep_names_three_trials_and_the_number_of_the_others() -> None:
    (line,) = said("method=vrex", "seed=range(0,7)", "training.steps=9")
    assert line.startswith("warning: 7 trials (")
    assert "4 more): " in line


def test_epochs_are_counted_in_steps() -> None:
    """50 images in batches of 10: 5 steps an epoch."""
    batches = ["method=vrex", "training.batch_size=10", "training.epochs=2"]
    (line,) = said(*batches, "method.anneal=10")
    assert "method.anneal=10 is not below 10 steps" in line
    assert not said(*batches, "method.anneal=9")
    assert said("method=vrex", "training.epochs=9", "method.anneal=9"), "a full batch is a step an epoch"


def test_an_epoch_is_measured_once_for_trials_of_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from irm_sweeps.training import footprint

    measured: list[Trial] = []
    monkeypatch.setattr(footprint, "steps_per_epoch", lambda trial, data_dir: measured.append(trial) or 4)
    late = ["method=irmv1,vrex", "method.anneal=30", "lam=1,100", "seed=0,1", "training.batch_size=8"]
    (line,) = said(*late, "training.epochs=2")
    assert "8 trials (" in line
    assert len(measured) == 1


def test_a_game_that_never_begins() -> None:
    (line,) = said("method=irm_games", "method.order=sequential", "method.warm_up=20", "training.steps=20")
    assert "the game never begins: method.warm_up=20 is not below" in line


def test_a_change_of_optimizer_from_adam_to_adam() -> None:
    """PAIR's released code goes on with SGD, which the protocol leaves to the trial's optimizer."""
    released = ["method=pair", "protocol=released", "method.anneal=4", "training.steps=9"]
    (line,) = said(*released, "seed=0,1")
    assert "2 trials (" in line
    assert "from its stage pareto on the trial's optimizer takes the place of Adam, and is Adam too (lr=0.001)" in line
    assert "optimizer=sgd optimizer.lr=0.1" in line
    assert not said(*released, "optimizer=sgd")
    assert not said("method=pair", "method.anneal=4", "training.steps=9"), "the paper's has one optimizer"


def test_a_full_batch_of_a_network_with_batch_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "footprint_if_known", lambda trial, data_dir: Footprint(int(21e9), 1.0))
    deep = ["dataset=cifar_mnist", "backbone=resnet18", "backbone.weights=none", "method=erm"]
    settings = Settings.from_config(compose([]))

    def of(free: float | None, *overrides: str) -> list[str]:
        monkeypatch.setattr(InProcess, "machine", lambda self, device: Machine(False, 1, free))
        return list(warnings(list(trials([*deep, *overrides]).values()), settings, InProcess()))

    (line,) = of(SHARE * 20e9)
    assert "1 trial (erm" in line
    assert "training.batch_size=null, all images at once, takes up to 21 GB, of 20 GB that a worker has" in line
    assert "give e.g. training.batch_size=128" in line
    assert of(None)
    assert not of(SHARE * 22e9)
    assert not of(SHARE * 20e9, "training.batch_size=128")


def test_lam_of_a_method_without_penalty() -> None:
    (line,) = said_of_lam("method=erm", "lam=1,10")
    assert line == (
        "warning: lam=1,10 has no effect on ERM, which has no penalty weight, so 2 values make the same trial: "
        "leave lam out"
    )
    (line,) = said_of_lam("method=groupdro", "lam=5")
    assert line.startswith("warning: lam=5 has no effect on GroupDRO")
    (line,) = said_of_lam("method=erm,irmv1", "lam=1,10")
    assert line.startswith("warning: lam=1,10 has no effect on ERM")
    assert not said_of_lam("method=erm,irmv1", "lam=5")
    assert not said_of_lam("method=erm")


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["trial", "sweep"])
def test_they_stand_on_stderr_once(mode: list[str], tmp_path: Path) -> None:
    answer = launch(*mode, *SMALL, "method=vrex", f"results={tmp_path}")
    assert answer.code == 0
    assert answer.err.count("the penalty never acts") == 1
    assert launch(*mode, *SMALL, "method=vrex", f"results={tmp_path}").err == "", "nothing is left to run"
    answer = launch(*mode, *SMALL, "method=erm", "lam=3", f"results={tmp_path}", "plan=true")
    assert answer.err.count("lam=3 has no effect on ERM") == 1


def test_a_second_penalty_that_never_acts() -> None:
    (line,) = said("method=ib_irm", "method.anneal=5", "method.ib_anneal=500", "training.steps=30")
    assert "a stage never begins within 30 steps (bottleneck at step 500)" in line


def test_stages_that_never_begin(tmp_path: Path) -> None:
    answer = launch("-m", *SMALL, "method=eiil", "method.inference_steps=2", f"results={tmp_path}", "plan=true")
    (line,) = [line for line in answer.err.splitlines() if "never begin" in line]
    assert "stages never begin within" in line
    assert "(inference at step 500, invariance at step 502, penalty at step 692): give more steps" in line
