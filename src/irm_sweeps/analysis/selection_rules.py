"""Selection rules: which one a row has, and their texts on the scored step and on the chosen setting."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from irm_sweeps.training.rule_names import RULE_NAMES, RuleName

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Column, Paper, Row
    from irm_sweeps.trial import Trial

STEPS = {
    "last": "at the end of training",
    "val": "at the step with the highest mean accuracy on held-out images of the training environments"
    " (of a regression, the lowest mean risk); DomainBed's training-domain validation",
    "oracle": "at the step with the highest accuracy on the shifted test environment (of a regression, the lowest"
    " risk): an upper bound, DomainBed's test-domain validation (no data without the spurious feature, which the rows"
    " named oracle have)",
    "stop": "at the step that the method's own stopping rule chooses from training environments",
}
"""Rule -> the step at which it scores each trial; the trial computes the scores when it runs."""

ADVICE = {
    "stop": "its method's stopping rule never fired, or it has none; --select last shows the end of training, and a "
    "longer one (training.steps) or more evaluations (training.evaluate_every) may let it fire",
    "val": "they hold no validation inputs back; train with dataset.n_val=N, or --select last",
}
"""Rule -> what to do where it chose no evaluation of a trial that is done."""

USABLE = " (of those with a value of every seed)"
"""The settings that are compared: see `settings.contenders`."""

SETTINGS: dict[str, str] = {
    **dict.fromkeys(RULE_NAMES, "the best mean of the cell's own metric, so it is tuned on the test environment"),
    "val": "the highest mean accuracy on held-out images of the training environments (of a regression, the lowest"
    " mean risk)",
}
"""Rule -> how `settings.choose` chooses one of several hyperparameter settings, over the seeds."""


def rule_of(
    row: Row, paper: Paper, select: str | None, trials: Iterable[Trial] = (), column: Column | None = None
) -> str:
    """Return the selection rule of a row, or of its cell in a column.

    It is that of the command line, else the column's, the row's, the paper's, or `honest`.
    """
    return select or (column.select if column else None) or row.select or paper.select or honest(trials)


def honest(*rows: Iterable[Trial]) -> RuleName:
    """Return the rule of some rows that scores no trial at a step chosen on the test environment.

    It is `val` if any row has several settings to compare, else `last`. Where any trial holds no images back, and so
    has no `val`, it is `last`: a setting is then chosen by its row's own metric, which tables and captions say.
    """
    from irm_sweeps.sweep.labels import setting_of

    listed = [list(row) for row in rows]
    several = any(len({json.dumps(setting_of(trial), sort_keys=True) for trial in row}) > 1 for row in listed)
    return "val" if several and all(getattr(trial.dataset, "n_val", 0) for row in listed for trial in row) else "last"
