"""Which of a trial's evaluations speaks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from irm_sweeps.methods.method import Check
from irm_sweeps.training.evaluation import Scores
from irm_sweeps.training.merit import merit


@dataclass(frozen=True)
class Evaluation:
    """The scores after `step` updates."""

    step: int
    scores: Scores

    @property
    def unusable(self) -> bool:
        """Whether a training environment's risk is not finite: the last update broke the network."""
        return any(score["risk"] is None for score in self.scores["train"].values())


Rule = Callable[[Sequence[Evaluation], str], Evaluation | None]
"""From a trial's evaluations and its shifted test environment to the chosen one, or None if it cannot say."""


def last(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the end of training: what the published Colored MNIST codes report."""
    del shifted
    return evaluations[-1] if evaluations else None


def val(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the highest mean merit on held-out images of the training environments; earliest on ties."""
    del shifted
    if not evaluations or "val" not in evaluations[0].scores:
        return None

    def mean(evaluation: Evaluation) -> float:
        values = [merit(scores) for scores in evaluation.scores["val"].values()]
        return sum(values) / len(values)

    return max(evaluations, key=mean)


def oracle(evaluations: Sequence[Evaluation], shifted: str) -> Evaluation | None:
    """Choose the highest merit on the shifted test environment itself: an upper bound, not a method."""
    if not evaluations:
        return None
    return max(evaluations, key=lambda evaluation: merit(evaluation.scores["test"][shifted]))


RULES: dict[str, Rule] = {"last": last, "val": val, "oracle": oracle}
"""Every general selection rule, by the name it has in results and tables; `stop` is the method's own."""


def check(evaluation: Evaluation, held_back: Sequence[float]) -> Check:
    """Return what a method's stopping rule may see of an evaluation: nothing of the test environments.

    `held_back` is the fraction of each training environment's images that are held out.
    """

    def column(split: str, metric: str) -> list[float]:
        scores = evaluation.scores.get(split, {}).values()
        found = [s[metric] for s in scores if metric in s]
        return [math.inf if value is None else value for value in found]

    return Check(
        evaluation.step, column("train", "risk"), column("train", "accuracy"), column("val", "risk"), held_back
    )
