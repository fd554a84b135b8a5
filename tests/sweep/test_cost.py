"""The cost that `plan=true` tells: from similar trials in the store, or from a probe that is bounded in time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import synthetic_store
from commands import ROGUE, ROOT, Answer, launch
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.store import Store
from irm_sweeps.sweep import cost
from irm_sweeps.sweep.collect import common_settings
from irm_sweeps.sweep.cost import report
from irm_sweeps.sweep.grid import expand, trials
from irm_sweeps.sweep.plan import make_plan
from irm_sweeps.sweep.probe import Measured, ProbeError, Prober
from irm_sweeps.sweep.probe_price import said, span, stack_seconds
from irm_sweeps.sweep.stacks import form_stacks
from irm_sweeps.trial import Trial

KIND = ["method=irmv1", "dataset.source=embedded", "dataset.n_train=40", "backbone.width=8", "training.steps=3"]


def took(trial: Trial, seconds: float, hour: int, device: str = "cpu", stack_size: int = 1) -> dict[str, Any]:
    return {
        **synthetic_store.completed(trial, lambda *_: 0.5),
        "timing": {"finished": f"2026-01-01T{hour:02d}:00:00+00:00", "seconds": seconds, "stack_size": stack_size},
        "provenance": {"hardware": {"device": device}},
    }


def plan(folder: Path, *overrides: str) -> Answer:
    return launch("-m", *KIND, *overrides, "device=cpu", f"results={folder}", "plan=true")


def price_line(answer: Answer) -> str:
    """The line of the only kind."""
    assert answer.code == 0, answer
    (line,) = [line for line in answer.out.splitlines() if " a trial, " in line]
    return line


def test_a_stack_is_priced_as_it_will_train(tmp_path: Path) -> None:
    answer = plan(tmp_path, "seed=range(0,8)", "stack=4")
    assert re.fullmatch(
        r"  irmv1 mlp full batch, 3 steps: \S+ s a trial, 8 trials, 1 worker: \S+ s  "
        r"\[12 steps here, median \S+ m?s, evaluation \S+ m?s, set-up \S+ m?s, a stack of 4\]",
        price_line(answer),
    )
    assert "pricing 1 kind of trial: 0 by results in this store, 1 by a few steps here (at most 20 s each" in answer.out


@pytest.mark.parametrize(
    ("known", "price"),
    [
        ([(30.0, hour) for hour in range(6)], "30 s a trial, 3 trials, 1 worker: 90 s  [from 5 results in this store"),
        ([(900.0, 1), *((20.0, hour) for hour in range(2, 7))], "20 s a trial"),
        ([(18.0, 1), (25.0, 2)], "18-25 s a trial, 3 trials, 1 worker: 54-75 s  [from 2 results in this store"),
        ([(900.0, 1, "cuda"), (40.0, 2)], "40 s a trial, 3 trials, 1 worker: 120 s  [from 1 result in this store"),
        ([(64.0, 1, "cpu", 16)], "4.0 s a trial"),
        ([(900.0, 1, "cuda")], "[12 steps here, "),
    ],
    ids=["all", "latest", "range", "device", "stack", "other device"],
)
def test_the_latest_of_its_kind_on_such_a_device_price_a_trial(tmp_path: Path, known: list[Any], price: str) -> None:
    grid = list(trials([*KIND, f"seed=range(0,{len(known)})"]).values())
    synthetic_store.write(tmp_path, *(took(trial, *facts) for trial, facts in zip(grid, known, strict=True)))
    line = price_line(plan(tmp_path, "seed=7,8,9"))
    assert price in line.replace("2.0 min", "120 s")
    if "[from" in line:
        latest = max(zip(known, grid, strict=True), key=lambda pair: (pair[0][2:3] != ("cuda",), pair[0][1]))[1]
        assert f"{latest.id[:8]} of 2026-01-01]" in line


@pytest.mark.parametrize(
    ("measured", "seconds", "words"),
    [
        (
            Measured(100, 3, set_up=1.0, first_step=9.0, step=[0.1, 0.2, 0.2, 0.2, 0.3], evaluation=[2.0, 3.0]),
            (1 + 20 + 6, 1 + 20 + 9, False),
            "5 steps here, median 200 ms, evaluation 2.5 s, set-up 1 s",
        ),
        (
            Measured(100, 1, set_up=0.0, first_step=9.0, step=[2.0, 4.0]),
            (200, 400, False),
            "2 steps here, median 3 s, set-up 0 ms",
        ),
        (
            Measured(100, 1, set_up=1.0, first_step=9.0, waited=5.0),
            (901, 901, False),
            "1 step here, the first, of 9 s: no other ended within 20 s",
        ),
        (
            Measured(100, 1, set_up=0.0, first_step=9.0, step=[2.0, 4.0], stages={20: [0.1, 0.2], 90: [5.0]}),
            (20 * 2 + 70 * 0.1 + 10 * 5, 20 * 4 + 70 * 0.2 + 10 * 5, False),
            "2 steps here, median 3 s, 2 later stages apart, set-up 0 ms",
        ),
        (Measured(100, 1, set_up=1.0, waited=18.0), (1801, 1801, True), "no step ended within 20 s"),
    ],
    ids=["middle half", "all of few", "first step", "stages", "no step"],
)
def test_a_price_is_made_of_what_was_seen(measured: Measured, seconds: tuple[float, float, bool], words: str) -> None:
    """The first step, which warms up, is no part of it where there are others."""
    assert stack_seconds(measured) == pytest.approx(seconds)
    assert said(measured, 20.0) == words


def test_each_stage_is_measured(tmp_path: Path) -> None:
    """In the steps before a stage begins, and in the stage; one of numbers only costs what the steps before it do."""
    own = ["dataset.source=embedded", "dataset.n_train=40", "backbone.width=8"]
    steps = ["method.reference_steps=2", "method.inference_steps=40", "method.anneal=5", "training.steps=60"]
    (trial,) = trials(["method=eiil", *own, *steps]).values()
    with Prober(tmp_path, "cpu", threads=1) as prober:
        measured = prober.measure([trial.canonical])
    assert sorted(measured.stages) == [2, 42]
    assert all(len(seen) == 2 for seen in measured.stages.values())
    assert len(measured.step) == 1, "the second step is the last of its stage"


def test_a_range_has_one_unit() -> None:
    ranges = {(18, 25): "18-25 s", (540, 780): "9.0-13 min", (0.012, 0.02): "0.01-0.02 s", (9000, 9010): "2.5 h"}
    assert {ends: span(*ends) for ends in ranges} == ranges


def test_rounds_of_whole_trials_are_priced(tmp_path: Path) -> None:
    """Three trials on two workers take two rounds."""
    (first, *_) = grid = list(trials([*KIND, "seed=range(0,4)"]).values())
    synthetic_store.write(tmp_path, took(first, 612.5, 1))
    command = ["-m", *KIND, "seed=1,2,3", "device=cpu", f"results={tmp_path}", "plan=true"]
    answer = launch(*command, "hydra/launcher=local", "hydra.launcher.slots=2")
    assert "10 min a trial, 3 trials, 2 workers: 20 min  [from 1 result" in price_line(answer), grid
    assert "3 trials on 2 workers: 20 min of wall time (31 min of one worker)" in answer.out


def test_prices_come_one_by_one(tmp_path: Path) -> None:
    """What is known from results is printed before any probe begins, and a probe that dies ends no other."""
    known = next(iter(trials([*KIND, "seed=0"]).values()))
    synthetic_store.write(tmp_path, took(known, 30.0, 1))
    measured: list[int] = []

    def dies(self: Prober, configs: Sequence[Mapping[str, Any]]) -> Measured:
        del self
        measured.append(len(configs))
        if len(measured) == 1:
            raise ProbeError("the process that measures it was killed by signal 9")
        return Measured(3, 1, set_up=0.0, first_step=1.0, step=[1.0])

    (settings,) = [common_settings([next(iter(expand([*KIND, f"results={tmp_path}"])))])]
    all_trials = trials([*KIND, "seed=1", "backbone.width=4,6,8"])
    made = make_plan(Store(tmp_path), all_trials, settings)
    with patch.object(Prober, "measure", dies):
        machine = InProcess().machine("cpu")
        stacks = form_stacks(all_trials.values(), settings.stack, machine, settings.data_dir)
        lines = report(Store(tmp_path), made, stacks, machine, settings, Prober(tmp_path, "cpu", 1))
        seen = []
        while not (seen and "from 1 result" in seen[-1]):
            seen.append(next(lines))
        assert not measured
        rest = list(lines)
    assert rest[0].endswith(": ?, 1 trial")
    assert "3.0 s a trial" in rest[1]
    assert rest[2] == "1 trial cannot run or be priced: the process that measures it was killed by signal 9"
    assert rest[-1].startswith("2 trials on 1 worker: 33 s of wall time")


def test_a_slow_probe_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process too, and the next stack gets a new one; what the trial prints is no measurement."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "support"))
    monkeypatch.setenv("GATE", str(tmp_path / "never"))
    (slow,) = trials([*ROGUE, "method.deed=hang", "training.steps=500"]).values()
    (quick,) = trials([*KIND, "seed=0"]).values()
    with Prober(tmp_path, "cpu", 1, seconds=40) as prober:
        measured = prober.measure([slow.canonical])
        assert measured.steps == 500
        assert len(measured.step) == 2, "before the one that hangs"
        assert measured.waited > 0
        assert said(measured, prober.seconds).endswith(", ended after 40 s")
        prober.seconds = 120
        assert len(prober.measure([quick.canonical]).step) == 12


@pytest.mark.usefixtures("unpriced")
def test_the_time_of_all_probes_is_bounded(tmp_path: Path) -> None:
    """What there was no time for has no price, which says nothing about whether it can run."""
    answer = plan(tmp_path, "seed=0,1")
    assert answer.code == 0, answer
    assert "irmv1 mlp full batch, 3 steps: ?, 2 trials  [not measured: " in answer.out
    assert "cannot run" not in answer.out


def test_data_that_take_too_long_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irm_sweeps.sweep.probe.SET_UP_SECONDS", 0.0)
    assert ": ?, 1 trial  [not measured: its data were not drawn within 0 s]" in plan(tmp_path, "seed=0").out


def test_a_plan_beside_a_running_launch_weighs_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has written a result removes its claim, perhaps after the folder was listed."""
    (tmp_path / "result.json").write_bytes(b"x" * 100)
    (tmp_path / "claim.1.json").write_bytes(b"x" * 10)
    listed = list(os.scandir(tmp_path))
    (tmp_path / "claim.1.json").unlink()
    monkeypatch.setattr(os, "scandir", lambda _: iter(listed))
    assert cost._size(tmp_path) == 100
