"""The selection rules, which choose the evaluation that is reported as a trial's result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from irm_sweeps.methods.method import Check
from irm_sweeps.training.evaluation import Scores


@dataclass(frozen=True)
class Evaluation:
    """The scores after `step` updates."""

    step: int
    scores: Scores

    @property
    def unusable(self) -> bool:
        """Whether the risk of a training environment is not finite."""
        return any(score["risk"] is None for score in self.scores["train"].values())


Rule = Callable[[Sequence[Evaluation], str], Evaluation | None]
"""A function from a trial's evaluations and its shifted test environment to the chosen evaluation, or None."""


def last(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the last evaluation, as the published Colored MNIST codes do."""
    del shifted
    return evaluations[-1] if evaluations else None


def merit(scores: Mapping[str, float | None]) -> float:
    """Return an environment's accuracy, or minus its risk in a regression; the worst value if it is not finite."""
    if "accuracy" in scores:
        return scores["accuracy"] or 0.0
    risk = scores["risk"]
    return -math.inf if risk is None else -risk


def val(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the highest mean merit on held-out images of the training environments; the earliest on ties."""
    del shifted
    if not evaluations or "val" not in evaluations[0].scores:
        return None

    def mean(evaluation: Evaluation) -> float:
        values = [merit(scores) for scores in evaluation.scores["val"].values()]
        return sum(values) / len(values)

    return max(evaluations, key=mean)


def oracle(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the highest merit on the shifted test environment: an upper bound, not usable in practice."""
    if not evaluations:
        return None
    return max(evaluations, key=lambda evaluation: merit(evaluation.scores["test"][shifted]))


RULES: dict[str, Rule] = {"last": last, "val": val, "oracle": oracle}
"""The general selection rules by their names in results and tables; the rule `stop` belongs to the method."""


def check(evaluation: Evaluation, held_back: Sequence[float]) -> Check:
    """Return the part of an evaluation that a method's stopping rule may use: nothing of the test environments.

    `held_back` is the fraction of each training environment's images that is held out.
    """

    def column(split: str, metric: str) -> list[float]:
        scores = evaluation.scores.get(split, {}).values()
        values = [s[metric] for s in scores if metric in s]
        return [math.inf if value is None else value for value in values]

    return Check(
        evaluation.step, column("train", "risk"), column("train", "accuracy"), column("val", "risk"), held_back
    )
