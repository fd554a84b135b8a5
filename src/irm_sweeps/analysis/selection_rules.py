"""Selection rules: which one a row has, and their texts on the scored step and on the chosen setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irm_sweeps.training.rule_names import RULE_NAMES

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper, Row

STEPS = {
    "last": "at the end of training",
    "val": "at the step with the highest mean accuracy on held-out images of the training environments"
    " (of a regression, the lowest mean risk)",
    "oracle": "at the step with the highest accuracy on the shifted test environment (of a regression, the lowest"
    " risk): an upper bound",
    "stop": "at the step that the method's own stopping rule chooses from training environments",
}
"""Rule -> the step at which it scores each trial; the trial computes the scores when it runs."""

USABLE = " (of those with the most seeds that have a value)"
"""The settings that are compared: see `settings.contenders`."""

SETTINGS: dict[str, str] = {
    **dict.fromkeys(RULE_NAMES, "the best mean of the cell's own metric, so it is tuned on the test environment"),
    "val": "the highest mean accuracy on held-out images of the training environments (of a regression, the lowest"
    " mean risk)",
}
"""Rule -> how `settings.choose` chooses one of several hyperparameter settings, over the seeds."""


def rule_of(row: Row, paper: Paper, select: str | None) -> str:
    """Return the selection rule of a row: the one on the command line, else the row's, else the paper's."""
    return select or row.select or paper.select
