"""`compile=auto`: which kinds of trial are compiled, and what a worker makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from commands import launch
from irm_sweeps.config import Settings
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.compiling import choose, kinds_to_compile, lines, looked_at
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.stacks import Machine
from irm_sweeps.training import footprint, moves
from irm_sweeps.trial import Trial
from irm_sweeps.worker.worker import Worker

NOWHERE = Path("nowhere")
TINY_TRIAL = ["dataset.source=embedded", "dataset.n_train=50", "backbone.width=4"]
AUTO = Settings.model_construct(compile="auto")
CPU = Machine(on_gpu=False, workers=2, free=1e12)


def grid(n: int, steps: int, *overrides: str) -> dict[str, Trial]:
    return trials([*TINY_TRIAL, f"seed=range(0,{n})", f"training.steps={steps}", *overrides])


def told(found: dict[str, Trial], machine: Machine = CPU) -> str:
    (line,) = lines(looked_at(choose(found.values(), machine), NOWHERE))
    return line


def test_many_tiny_steps_are_compiled() -> None:
    assert told(grid(40, 500)).startswith("compile=auto: true for 40 trials: a step has ")
    assert told(grid(38, 500)).startswith(
        "compile=auto: false for 38 trials: compiling repays from 10,000 steps on, and"
    )
    assert "a worker does 9,500" in told(grid(38, 500))
    assert kinds_to_compile(grid(40, 500).values(), AUTO, CPU) == [next(iter(grid(1, 500).values())).kind]
    assert kinds_to_compile(grid(40, 500).values(), Settings.model_construct(compile=True), CPU) == []


def test_each_program_has_to_repay() -> None:
    assert "from 30,000 on" in told(grid(1, 30_000, "method=invrat_ec"))
    assert "from 30,000 steps on" in told(grid(1, 29_999, "method=invrat_ec"))


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["dataset.n_train=2000", "backbone.width=390"], "GFLOP gains nothing"),
        (["training.batches=pooled", "training.batch_size=20"], "they cannot be compiled"),
    ],
)
def test_what_gains_nothing_or_cannot_be_compiled_is_not(overrides: list[str], why: str) -> None:
    line = told(grid(1, 50_000, *overrides))
    assert line.startswith("compile=auto: false for 1 trial: ")
    assert line.endswith(why)


def test_a_gpu_and_data_that_are_not_here() -> None:
    assert told(grid(1, 50_000), Machine(on_gpu=True, workers=2, free=1e12)).endswith("on a GPU was not measured")
    assert told(grid(1, 50_000, "dataset.source=auto")).endswith("their data could not be looked at")


def work(tmp_path: Path, found: dict[str, Trial]) -> list[Any]:
    """Let a worker train; return the results."""
    store = Store(tmp_path / "results")
    store.prepare()
    kinds = [trial.kind for trial in found.values()]
    run = RunSettings(data_dir="", device="cpu", compile_kinds=kinds, on_error="continue", checkpoint_seconds=30)
    manifest = write_manifest(store, "auto", {i: t.canonical for i, t in found.items()}, [[i] for i in found], run)
    Worker(store, manifest, torch.device("cpu"), capture=False).work()
    results = [store.result(i) for i in found]
    assert all(result and result.status == "completed" for result in results)
    return results


def test_a_worker_compiles_tiny_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "BACKEND", "aot_eager")
    (tiny,) = work(tmp_path / "tiny", grid(1, 3))
    assert tiny.provenance.compiled
    monkeypatch.setattr(footprint, "TINY", 0)
    (large,) = work(tmp_path / "large", grid(1, 3))
    assert not large.provenance.compiled
    assert large.config == tiny.config


def test_what_cannot_be_compiled_trains_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def fails(*_: Any) -> Any:
        tries.append(1)
        raise moves.CannotCompile("no C++ compiler")

    monkeypatch.setattr(moves, "_run", fails)
    results = work(tmp_path, grid(2, 3))
    assert not any(result.provenance.compiled for result in results)
    assert len(tries) == 1, "the second trial of the kind is not tried"
    logs = "".join(path.read_text() for path in tmp_path.glob("results/*/log.txt"))
    assert logs.count("compile=auto: it trains without programs: no C++ compiler") == 1


def test_a_plan_says_it_and_a_wrong_word_is_told(tmp_path: Path) -> None:
    command = ["-m", *TINY_TRIAL, "seed=0,1", "training.steps=20000", f"results={tmp_path}", "plan=true"]
    answer = launch(*command, "compile=auto", "device=cpu")
    assert answer.code == 0, answer
    assert "\ncompile=auto: true for 2 trials: a step has" in answer.out
    assert launch(*command, "compile=maybe").complaint.endswith("compile='maybe': give true, false or auto")
