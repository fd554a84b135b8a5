"""An invalid `turn` in a user's method: one clear line at the first step, solo, stacked and compiled."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import SMALL, Desk, irm_sweeps, launch
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.training import moves
from wrong_turns import Matrix, Wrong, WrongPenalty

COMPLAINTS = {
    "vector": "objective of 'model' is a tensor of shape [2]: reduce it with mean() or sum()",
    "float": "objective of 'model' is a value of type float: return a scalar tensor, without item()",
    "nothing": "objective of 'model' is nothing: return a scalar tensor",
    "list": "objective of 'model' is a value of type list: return a scalar tensor",
    "missing": "['model'] move, and there are objectives of []: one each is needed",
    "unknown": "['model'] move, and there are objectives of ['model', 'adversary']: one each is needed",
    "log": "log entry 'penalty' is a float; a tensor is needed, e.g. risks.new_full((), 0.5)",
    "bare": "a Turn of two dicts is needed, objectives by player and what to log by name",
    "bare objective": "a Turn of two dicts is needed",
}
PENALTIES = {
    "nothing": "returned nothing: return a scalar tensor",
    "number": "returned a value of type float: return a scalar tensor, without item()",
    "vector": "returned a tensor of shape [2]: reduce it with mean() or sum()",
}
EXITS = {"exit": "sys.exit(3)", "last words": "sys.exit('no such file')", "plain exit": "sys.exit()"}


def wrong(deed: str) -> list[str]:
    return [*SMALL, "method=erm", "method._target_=wrong_turns.Wrong", f"+method.deed={deed}"]


@pytest.fixture(params=["solo", "stacked", "compiled"])
def complaint(
    request: pytest.FixtureRequest, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Method], str]:
    """The error of a wrong method at the first step."""
    monkeypatch.setattr(moves, "BACKEND", "aot_eager")

    def of(method: Method) -> str:
        seeds = range(2 if request.param == "stacked" else 1)
        trials = [make_trial(f"seed={seed}").model_copy(update={"method": method}) for seed in seeds]
        run = training(*trials, compiled=request.param == "compiled")
        with pytest.raises(UserError) as error:
            run.run()
        assert run.step == 0
        return str(error.value)

    return of


@pytest.mark.parametrize("deed", COMPLAINTS)
def test_it_is_named_at_the_first_step(deed: str, complaint: Callable[[Method], str]) -> None:
    method = Wrong.model_validate({"risk": "mean", "deed": deed})
    assert complaint(method).startswith(f"Wrong.turn: {COMPLAINTS[deed]}")


@pytest.mark.parametrize("deed", PENALTIES)
def test_a_penalty_that_is_no_scalar_tensor_is_named(
    deed: str, complaint: Callable[[Method], str], make_trial: MakeTrial
) -> None:
    values = make_trial("method=vrex").method.model_dump(include=set(WrongPenalty.model_fields) - {"target"})
    method = WrongPenalty.model_validate({**values, "deed": deed})
    assert complaint(method) == f"WrongPenalty.penalty {PENALTIES[deed]}"


def test_several_objectives_stand_in_one_axis(complaint: Callable[[Method], str]) -> None:
    assert complaint(Matrix.model_validate({"tau": 1})) == (
        "Matrix.turn: objective of 'model' is a tensor of shape [1, 2]: reduce it with mean() or sum(), "
        "or to one axis of objectives for `combine`"
    )


def test_the_trial_fails_with_that_line(tmp_path: Path) -> None:
    """And `plan=true` says it beforehand."""
    arguments = ["-m", *wrong("vector"), "lam=1,2", f"results={tmp_path}"]
    told = launch(*arguments, "plan=true").complaint
    assert (
        f"2 of 2 trials cannot run: 2 trials of ColoredMNIST with MLP and Wrong: Wrong.turn: {COMPLAINTS['vector']}"
        in told
    )
    answer = launch(*arguments, "stack=2")
    assert answer.code == 1
    assert answer.out.count(f"Wrong.turn: {COMPLAINTS['vector']}") == 2


def test_who_moves_must_be_a_player(make_trial: MakeTrial, training: Train) -> None:
    trial = make_trial().model_copy(update={"method": Wrong.model_validate({"risk": "mean", "deed": "moves"})})
    with pytest.raises(
        UserError, match=r"Wrong.moves: 'modle' is not a player \(did you mean `model`\?\): `players` names"
    ):
        training(trial)


@pytest.mark.parametrize("deed", EXITS)
def test_an_exit_is_the_trial_s_failure(deed: str, tmp_path: Path) -> None:
    """Of those that call it; the others of the stack train, and the place of the call is kept."""
    good = launch(*wrong("none"), "lam=1", f"results={tmp_path}")
    assert good.code == 0
    answer = launch("-m", *wrong(f"none,{deed.replace(' ', chr(92) + ' ')}"), "lam=1", f"results={tmp_path}")
    assert answer.code == 1
    told = irm_sweeps("failures", "--results", str(tmp_path)).out
    assert f"the trial's own code called {EXITS[deed]}" in told
    assert launch("-m", *wrong(deed), "lam=1", f"results={tmp_path}", "plan=true").out.startswith("1 done")


def test_an_exit_ends_no_worker(desk: Desk) -> None:
    """Of the local pool: the one worker goes on to the other trials."""
    answer = desk.answer(desk.sweep(*wrong("exit,none"), "lam=1,2", slots=1))
    assert answer.code == 1
    assert "die" not in answer.err
    assert sorted(result["status"] for result in desk.in_store().values()) == 2 * ["completed"] + 2 * ["failed"]
    told = irm_sweeps("failures", "--results", str(desk.results)).out
    assert told.startswith("2 x the trial's own code called sys.exit(3)")
    assert len({pid for trial in desk.in_store() for pid in re.findall(r"in process (\d+)", desk.log(trial))}) == 1
