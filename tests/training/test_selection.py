"""The selection rules on made-up evaluations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from irm_sweeps.training.selection import RULES, Evaluation, check

ACCURACY = st.one_of(st.none(), st.integers(0, 10).map(lambda tenths: tenths / 10))


def score(accuracy: float | None) -> dict[str, float | None]:
    return {"risk": None if accuracy is None else 1 - accuracy, "accuracy": accuracy}


@st.composite
def trainings(draw: st.DrawFn, val: bool = True) -> list[Evaluation]:
    """Evaluations of one trial: two environments to train on, two to test on; None where a risk was not finite."""
    steps = sorted(draw(st.sets(st.integers(0, 1000), min_size=1, max_size=8)))
    evaluations = []
    for step in steps:
        scores = {
            "train": {"0.2": score(draw(ACCURACY)), "0.1": score(draw(ACCURACY))},
            "test": {"0.1": score(draw(ACCURACY)), "0.9": score(draw(ACCURACY))},
        }
        if val:
            scores["val"] = {"0.2": score(draw(ACCURACY)), "0.1": score(draw(ACCURACY))}
        evaluations.append(Evaluation(step, scores))
    return evaluations


def mean_val(evaluation: Evaluation) -> float:
    values = [s["accuracy"] or 0.0 for s in evaluation.scores["val"].values()]
    return sum(values) / len(values)


def shifted(evaluation: Evaluation) -> float:
    return evaluation.scores["test"]["0.9"]["accuracy"] or 0.0


@given(trainings())
def test_last_is_the_end(evaluations: list[Evaluation]) -> None:
    assert RULES["last"](evaluations, "0.9") is evaluations[-1]


@given(trainings())
def test_val_is_the_earliest_best_on_held_out_images(evaluations: list[Evaluation]) -> None:
    chosen = RULES["val"](evaluations, "0.9")
    assert mean_val(chosen) == max(mean_val(e) for e in evaluations)
    assert all(mean_val(e) < mean_val(chosen) for e in evaluations if e.step < chosen.step)


@given(trainings())
def test_oracle_is_the_earliest_best_on_the_shifted_environment(evaluations: list[Evaluation]) -> None:
    chosen = RULES["oracle"](evaluations, "0.9")
    assert shifted(chosen) == max(shifted(e) for e in evaluations)
    assert all(shifted(e) < shifted(chosen) for e in evaluations if e.step < chosen.step)


@given(trainings())
def test_only_the_oracle_looks_at_the_test_environments(evaluations: list[Evaluation]) -> None:
    blind = [Evaluation(e.step, {**e.scores, "test": {"0.1": score(0.5), "0.9": score(0.5)}}) for e in evaluations]
    for name in set(RULES) - {"oracle"}:
        assert RULES[name](blind, "0.9").step == RULES[name](evaluations, "0.9").step
    assert [check(e, [0.0]) for e in blind] == [check(e, [0.0]) for e in evaluations], "nor may a method's own rule"


@given(trainings(val=False))
def test_without_held_out_images_val_cannot_say(evaluations: list[Evaluation]) -> None:
    assert RULES["val"](evaluations, "0.9") is None
    assert all(list(check(e, [0.0]).val_risks) == [] for e in evaluations)


def test_nothing_can_be_said_about_nothing() -> None:
    assert all(rule([], "0.9") is None for rule in RULES.values())
