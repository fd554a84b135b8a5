"""Which kinds of trial `plan=true` tries a few steps of before it prints anything: those of the user's own classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import synthetic_store
from commands import ROGUE, SMALL
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import common_settings
from irm_sweeps.sweep.grid import expand, trials
from irm_sweeps.sweep.own_classes import check_own_classes
from irm_sweeps.sweep.plan import make_plan
from irm_sweeps.sweep.probe import ContractError, Measured, Prober
from irm_sweeps.sweep.stacks import form_stacks

OWN = [word for word in ROGUE if word != "device=cpu"]
TWO_KINDS = [*OWN, "backbone.width=4,6"]


def _tried(folder: Path, sweep: Sequence[str], fault: str = "") -> list[int]:
    """Return the widths of the networks of which steps are tried."""
    (settings,) = [common_settings([next(iter(expand([*SMALL, f"results={folder}"])))])]
    all_trials = trials(sweep)
    plan = make_plan(Store(folder), all_trials, settings)
    waiting = [all_trials[trial_id] for trial_id in plan.to_run]
    stacks = form_stacks(waiting, settings.stack, InProcess().machine("cpu"), settings.data_dir)
    widths = []

    def measure(_self: Prober, configs: Sequence[Mapping[str, Any]]) -> Measured:
        widths.append(configs[0]["backbone"]["width"])
        if fault:
            raise ContractError(fault)
        return Measured()

    with patch.object(Prober, "measure", measure):
        check_own_classes(plan, stacks, settings, Prober(folder, "cpu", 1))
    return widths


def test_a_kind_of_which_nothing_is_completed_is_tried_once(tmp_path: Path) -> None:
    assert _tried(tmp_path, [*TWO_KINDS, "seed=0,1,2"]) == [4, 6]


def test_a_kind_of_which_a_trial_is_completed_is_not_tried(tmp_path: Path) -> None:
    done = next(iter(trials([*OWN, "backbone.width=4", "seed=0"]).values()))
    synthetic_store.write(tmp_path, synthetic_store.completed(done, lambda *_: 0.5))
    assert _tried(tmp_path, [*TWO_KINDS, "seed=0,1,2"]) == [6]


def test_a_kind_of_which_a_trial_has_only_failed_is_tried(tmp_path: Path) -> None:
    done = next(iter(trials([*OWN, "backbone.width=4", "seed=0"]).values()))
    synthetic_store.write(tmp_path, synthetic_store.failed(done, "no"))
    assert _tried(tmp_path, [*TWO_KINDS, "seed=0,1,2"]) == [4, 6]


def test_the_packages_own_classes_are_not_tried(tmp_path: Path) -> None:
    assert _tried(tmp_path, ["method=erm", *(word for word in SMALL if word != "device=cpu")]) == []


def test_all_trials_of_a_broken_kind_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"6 of 6 trials cannot run: 6 trials of .*Rogue: Rogue\.turn: no"):
        _tried(tmp_path, [*TWO_KINDS, "seed=0,1,2"], fault="Rogue.turn: no")
