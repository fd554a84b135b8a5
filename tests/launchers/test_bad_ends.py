"""A trial that ends in whatever way has failed, with its reason, and harms no other: real processes."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from commands import ROGUE, Answer, Desk, irm_sweeps
from irm_sweeps.store.store import Store
from rogue import Deed

REASONS: dict[Deed, str] = {
    "leave": "the trial's own code called sys.exit(0)",
    "interrupt": "KeyboardInterrupt",
    "close_generator": "GeneratorExit",
    "unforeseen": "Unforeseen: not foreseen",
    "mute": "Mute: (no message: Mute.__str__ raised ValueError)",
    "surrogates": "RuntimeError: no such file: ?.png",
    "long": f"RuntimeError: {'x' * 4000}",
}
"""How the message of the trial's failure begins, by deed."""


def by_deed(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    results: dict[str, list[dict[str, Any]]] = {}
    for result in desk.in_store().values():
        results.setdefault(result["config"]["method"]["deed"], []).append(result)
    return results


def run(desk: Desk, *overrides: str, launcher: str = "local") -> Answer:
    desk.gate.touch()
    own = ["hydra.launcher.slots=2"] if launcher == "local" else []
    return desk.answer(
        desk.start("-m", f"results={desk.results}", f"hydra/launcher={launcher}", *own, *ROGUE, *overrides)
    )


@pytest.mark.parametrize(("launcher", "stack"), [("inprocess", 2), ("local", 1)])
def test_whatever_leaves_a_training_is_its_trials_failure(desk: Desk, launcher: str, stack: int) -> None:
    answer = run(desk, f"method.deed={','.join(REASONS)},none", f"stack={stack}", "seed=0,1", launcher=launcher)
    assert answer.code == 1, answer
    assert "2 completed, 14 failed" in answer.out
    results = by_deed(desk)
    assert [result["status"] for result in results.pop("none")] == ["completed", "completed"]
    for deed, reason in REASONS.items():
        for result in results[deed]:
            assert result["error"]["kind"] == "exception"
            assert result["error"]["message"].startswith(reason)
    assert len(list(Store(desk.results).results())) == 16, "each can be read"
    status = json.loads(irm_sweeps("status", "--json", "--results", str(desk.results)).out)
    assert (status["state"], status["damaged"]) == ("done", [])
    assert not list(desk.results.glob("*/claim.*"))


def test_a_worker_that_exits_at_once_has_died(desk: Desk) -> None:
    """With exit code 0, as if all was done."""
    answer = run(desk, "method.deed=exit_at_once,none", "seed=range(0,3)")
    assert answer.code == 1, answer
    results = by_deed(desk)
    assert [result["status"] for result in results["none"]] == ["completed"] * 3
    assert [result["error"]["kind"] for result in results["exit_at_once"]] == ["crash"] * 3


def test_workers_that_come_and_go_are_not_replaced_for_ever(desk: Desk) -> None:
    """A trial that asks its worker to stop leaves no other trace of its failure."""
    answer = run(desk, "method.deed=ask,none", "seed=range(0,2)")
    assert answer.code == 2, answer
    assert "workers have ended one after another without a new result" in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    results = by_deed(desk)
    assert [result["status"] for result in results["none"]] == ["completed"] * 2, "the healthy ones are done"
    assert "ask" not in results
    assert len(list(desk.results.glob("sweeps/*/jobs/*_submitted.pkl"))) <= 12


@pytest.mark.parametrize(
    ("launcher", "numbers"),
    [("local", ["999999999"]), ("inprocess", ["999999999", "999999998", "007", "9" * 240, "5"])],
)
def test_stray_claims_keep_no_trial_from_being_trained(desk: Desk, launcher: str, numbers: list[str]) -> None:
    """Another one lies with each trial."""
    trials = ["training.steps=1", f"seed=range(0,{len(numbers)})", "stack=1"]
    assert run(desk, *trials, launcher=launcher).code == 0
    trained = desk.in_store().keys()
    strays = [desk.results / i / f"claim.{number}.json" for i, number in zip(trained, numbers, strict=True)]
    for stray in strays:
        stray.with_name("result.json").unlink()
        stray.write_text("{}")
    answer = run(desk, *trials, launcher=launcher)
    assert answer.code == 0, answer
    assert desk.in_store().keys() == trained
    assert not any(stray.exists() for stray in strays)


def test_what_ends_with_trials_open_does_not_exit_with_0(desk: Desk) -> None:
    """Another process, this one, holds a claim on one of the two."""
    from irm_sweeps.store import claims

    assert run(desk, "seed=0,1", launcher="inprocess").code == 0
    held = min(desk.in_store())
    for trial_id in desk.in_store():
        (desk.results / trial_id / "result.json").unlink()
    claim = claims.acquire(Store(desk.results), held, "another", 20, 1)
    assert claim is not None
    assert claim.holder.pid == os.getpid()
    work = ["work", "sweep", "--trust", "--results", str(desk.results)]
    launched = run(desk, "seed=0,1", launcher="inprocess")
    for answer in (launched, desk.answer(desk.start(*work, command=["-m", "irm_sweeps"]))):
        assert answer.code == 2
        assert answer.err.splitlines()[-1].startswith("error: 1 trial of this sweep without a result: ")
        assert "1 trial of this sweep without a result: other workers are at work on 1 of them" in answer.err
        assert len(desk.in_store()) == 1
