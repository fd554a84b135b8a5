"""`compile=true`: moves compiled to machine code. The contract suite only traces every method."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch._dynamo.utils import counters

from commands import ROGUE, SMALL, Desk, eventually, irm_sweeps, launch, outcomes
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import trials
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.runs import assert_same_outcome, assert_same_parameters
from irm_sweeps.testing.trials import with_cut_environment
from irm_sweeps.training import moves
from irm_sweeps.worker.exceptions import Interrupted
from irm_sweeps.worker.worker import Worker

COMPILED = [*SMALL, "method=irmv1", "compile=true", "hydra.launcher.threads_per_worker=1"]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that counts the programs made since the test began, traced only."""
    monkeypatch.setattr(moves, "BACKEND", "aot_eager")
    moves.forget_programs()
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    moves.forget_programs()


def test_a_compiled_stack_equals_its_plain_run(make_trial: MakeTrial, training: Train) -> None:
    rates = [("seed=0", "lam=3"), ("seed=1", "lam=7", "optimizer.lr=0.003"), ("seed=2", "lam=9")]
    trials = [make_trial("method=irmv1", "training.batch_size=16", *own) for own in rates]
    compiled, plain = training(*trials, compiled=True), training(*trials)
    for one, other in zip(compiled.run(), plain.run(), strict=True):
        assert_same_outcome(one, other)
    for row, trial in enumerate(compiled.trials):
        solo = training(trial)
        solo.run()
        assert_same_parameters(compiled, row, solo)


def test_a_compiled_game_equals_its_plain_run(make_trial: MakeTrial, training: Train) -> None:
    trial = make_trial("method=invrat_ec", "method.anneal=4", "training.steps=12")
    compiled, plain = training(trial, compiled=True), training(trial)
    assert_same_outcome(*compiled.run(), *plain.run())
    assert_same_parameters(compiled, 0, plain)


def test_bf16_is_bf16_in_a_program(make_trial: MakeTrial, training: Train) -> None:
    trials = [make_trial("method=vrex", f"training.precision={p}", "training.steps=5") for p in ("bf16", "float32")]
    rows = [[training(trial, compiled=compiled).run()[0].history[0] for trial in trials] for compiled in (True, False)]
    for (mixed, full), (plain, _) in (rows, rows[::-1]):
        assert mixed["risks"] != full["risks"]
        assert mixed["risks"] == pytest.approx(plain["risks"], abs=2e-3)


def test_trials_of_one_kind_share_a_program(programs: Any, make_trial: MakeTrial, training: Train) -> None:
    for lam in (1, 2, 3):
        training(make_trial("method=vrex", f"lam={lam}", f"seed={lam}"), compiled=True).run()
    assert programs() == 1
    training(make_trial("method=vrex", "backbone.width=5"), compiled=True).run()
    assert programs() == 2


def test_a_game_has_a_program_for_each_of_its_moves(programs: Any, make_trial: MakeTrial, training: Train) -> None:
    training(make_trial("method=invrat_ec", "method.anneal=4"), compiled=True).run()
    assert programs() == 3, "plain ERM, the adversary's move, the model's"


def test_programs_beyond_the_limit_are_made_again(programs: Any, make_trial: MakeTrial, training: Train) -> None:
    trials = [make_trial("method=vrex", f"backbone.width={width}", "training.steps=3") for width in (3, 4, 5)]
    training(trials[0], compiled=True).run()
    with torch._dynamo.config.patch(recompile_limit=1):
        for trial in trials[1:]:
            assert_same_outcome(*training(trial, compiled=True).run(), *training(trial).run())
    assert programs() == 3


@pytest.mark.parametrize("method", ["irmv1", "invrat_ec"])
def test_environments_of_unequal_size_are_one_program_too(
    method: str, programs: Any, make_trial: MakeTrial, training: Train
) -> None:
    trial = with_cut_environment(make_trial(f"method={method}", "training.steps=6", "training.batch_size=50"))
    one, other = training(trial, compiled=True), training(trial)
    assert one.data.sizes == [60, 40]
    assert_same_outcome(*one.run(), *other.run())
    assert_same_parameters(one, 0, other)
    assert programs() == len(one.moves())


def test_divergence_is_noted_at_the_same_step(programs: Any, make_trial: MakeTrial, training: Train) -> None:
    trial = make_trial("optimizer=sgd", "training.l2=1e200")
    (compiled,), (plain,) = training(trial, compiled=True).run(), training(trial).run()
    assert compiled.diverged_at == plain.diverged_at is not None
    assert programs() == 1


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["dataset=cifar_mnist", "backbone=resnet18"], "backbone.compiled=true"),
        ([*SMALL, "training.batches=pooled", "training.batch_size=20"], "training.batches=per_environment"),
        ([*SMALL, "compile=yes_please"], "compile"),
    ],
)
def test_what_cannot_be_compiled_is_refused_before_anything_runs(
    overrides: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Hydra's own sweeper notes its config where it is
    for many in ([], ["-m"], ["-m", "hydra/sweeper=basic"]):  # a trial, a sweep, a search
        answer = launch(*many, f"results={tmp_path / 'results'}", "compile=true", *overrides)
        assert told in answer.complaint
    # What is left is Hydra's note of the search, which it takes before the first trial is looked at.
    assert [path.name for path in (tmp_path / "results").rglob("*") if path.is_file()] == ["multirun.yaml"]


def test_what_torch_cannot_trace_is_named_and_no_trial_fails_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "support"))
    command = ["-m", f"results={tmp_path}", *ROGUE, "seed=range(0,4)", "stack=2"]
    told = launch(*command, "compile=true").complaint
    assert "compile=true: torch cannot compile Rogue (" in told
    assert "rogue.py" in told
    assert told.endswith("take compile=false")
    assert not list(tmp_path.glob("*/result.json"))
    answer = launch(*command, "compile=false")
    assert answer.code == 0, answer
    assert len(list(tmp_path.glob("*/result.json"))) == 4


def test_what_keeps_the_compiler_from_its_work_is_no_trial_s_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no compiler, or the disk is full."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(desk.folder / "programs"))
    full = desk.folder / "c++"
    full.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) exec g++ "$@";; esac\n'
        "echo 'fatal error: cannot write: No space left on device' >&2; exit 1\n"
    )
    full.chmod(0o755)
    for compiler, reason in (("/nowhere/c++", "C++"), (str(full), "No space left on device")):
        monkeypatch.setenv("CXX", compiler)
        told = desk.answer(desk.sweep(*COMPILED, slots=1))
        assert told.code == 2, told
        assert "compile=true: torch cannot compile IRMv1 (" in told.err
        assert reason in told.err.splitlines()[-1]
        assert desk.in_store() == {}
    assert desk.answer(desk.sweep(*COMPILED, "compile=false", slots=1)).code == 0
    assert len(desk.in_store()) == 1


def test_a_stop_that_reaches_the_compiler_is_a_stop(programs: Any, tmp_path: Path) -> None:
    """SLURM may signal all of a job's processes: the compiler dies of it, and torch calls that a failure."""
    store = Store(tmp_path / "results")
    found = trials([*SMALL, "method=vrex"])
    store.prepare()
    run = RunSettings(data_dir="", device="cpu", compile=True, on_error="continue", checkpoint_seconds=30)
    manifest = write_manifest(store, "stopped", {i: t.canonical for i, t in found.items()}, [list(found)], run)
    worker = Worker(store, manifest, torch.device("cpu"), capture=False)

    def dying(*_: Any) -> Any:
        worker.stop_requested.set()
        raise moves.CannotCompile("killed")

    with patch.object(moves, "_run", dying), pytest.raises(Interrupted):
        worker.work()
    (trial_id,) = found
    assert store.result(trial_id) is None
    Worker(store, manifest, torch.device("cpu"), capture=False).work()
    result = store.result(trial_id)
    assert result
    assert result.status == "completed"


def test_compiling_is_no_part_of_a_trial_s_time(programs: Any, make_trial: MakeTrial, training: Train) -> None:
    def slow(*arguments: Any) -> Any:
        if not training_run._moves.compiling:
            time.sleep(0.5)
        return run(*arguments)

    training_run, run = training(make_trial("method=vrex", "training.steps=3"), compiled=True), moves._run
    with patch.object(moves, "_run", slow):
        (outcome,) = training_run.run()
    assert training_run._moves.compiling > 0.5
    assert outcome.seconds < training_run._moves.compiling


def test_a_killed_compiled_trial_goes_on_to_the_same_bits_and_is_reproduced(desk: Desk, tmp_path: Path) -> None:
    command = [*COMPILED, "training.steps=6000", "checkpoint_seconds=0.3"]
    first = desk.sweep(*command, slots=1)

    def at_work() -> int | None:
        return next(
            (pid for i, pid in desk.holders().items() if (desk.results / i / "checkpoint.safetensors").exists()), None
        )

    os.kill(eventually(at_work, "a checkpoint"), signal.SIGKILL)
    assert desk.answer(first).code == 0
    (result,) = desk.in_store().values()
    assert result["provenance"]["compiled"] is True
    assert "resumed at step" in desk.log(result["trial_id"])

    undisturbed = Desk(tmp_path / "undisturbed")
    undisturbed.folder.mkdir()
    assert undisturbed.answer(undisturbed.sweep(*command, slots=1)).code == 0
    assert outcomes(undisturbed.in_store()) == outcomes(desk.in_store())
    answer = irm_sweeps("reproduce", result["trial_id"], "--results", str(desk.results))
    assert answer.code == 0, answer
    assert "equal: the parameters" in answer.out
