"""Selection rules: functions that choose the evaluation whose scores count for a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from irm_sweeps.methods.method import Check
from irm_sweeps.training.evaluation import Scores
from irm_sweeps.training.merit import merit
from irm_sweeps.training.rule_names import RuleName


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
"""From a trial's evaluations and its shifted test environment to the chosen evaluation, or None if there is none."""


def last(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the last evaluation, which the published Colored MNIST codes report."""
    del shifted
    return evaluations[-1] if evaluations else None


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


RULES: dict[RuleName, Rule] = {"last": last, "val": val, "oracle": oracle}
"""The selection rules of this module by their names in results and tables; `stop` is the method's own."""


def check(evaluation: Evaluation, held_back: Sequence[float]) -> Check:
    """Return the part of an evaluation that a method's stopping rule may see: nothing of the test environments.

    `held_back` is the fraction of each training environment's images that is held out.
    """

    def column(split: str, metric: str) -> list[float]:
        scores = evaluation.scores.get(split, {}).values()
        values = [score[metric] for score in scores if metric in score]
        return [math.inf if value is None else value for value in values]

    return Check(
        evaluation.step, column("train", "risk"), column("train", "accuracy"), column("val", "risk"), held_back
    )
