"""The cost that `plan=true` estimates from similar trials in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import synthetic_store
from commands import launch
from irm_sweeps.sweep.grid import trials
from irm_sweeps.trial import Trial

KIND = ["method=irmv1", "dataset.source=embedded", "dataset.n_train=40", "backbone.width=8", "training.steps=3"]


def took(trial: Trial, seconds: float, hour: int, device: str = "cpu", stack_size: int = 1) -> dict[str, Any]:
    return {
        **synthetic_store.completed(trial, lambda *_: 0.5),
        "timing": {"finished": f"2026-01-01T{hour:02d}:00:00+00:00", "seconds": seconds, "stack_size": stack_size},
        "provenance": {"hardware": {"device": device}},
    }


def test_a_stack_is_priced_as_it_will_train(tmp_path: Path) -> None:
    answer = launch("-m", *KIND, "seed=range(0,8)", "stack=4", "device=cpu", f"results={tmp_path}", "plan=true")
    assert answer.code == 0, answer
    assert "[probe of 3 steps here, in a stack of 4]" in answer.out


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ([(30.0, hour) for hour in range(6)], "30.0  irmv1 lam=10000 seed=9  [history of 5]"),
        ([(900.0, 1), *((20.0, hour) for hour in range(2, 7))], "20.0  irmv1 lam=10000 seed=9  [history of 5]"),
        ([(900.0, 1, "cuda"), (40.0, 2)], "40.0  irmv1 lam=10000 seed=9  [history of 1]"),
        ([(64.0, 1, "cpu", 16)], "4.0  irmv1 lam=10000 seed=9  [history of 1]"),
        ([(900.0, 1, "cuda")], "[probe of 3 steps here]"),
    ],
    ids=["all", "latest", "device", "stack", "other device"],
)
def test_the_latest_of_its_kind_on_such_a_device_price_a_trial(tmp_path: Path, known: list[Any], asked: str) -> None:
    grid = trials([*KIND, f"seed=range(0,{len(known)})"]).values()
    synthetic_store.write(tmp_path, *(took(trial, *facts) for trial, facts in zip(grid, known, strict=True)))
    answer = launch("-m", *KIND, "seed=9", "device=cpu", f"results={tmp_path}", "plan=true")
    assert answer.code == 0, answer
    assert asked in answer.out
