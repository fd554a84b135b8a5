"""Selection rules in words: at which step each trial is scored, and which of several settings a row shows."""

from __future__ import annotations

from irm_sweeps.training.rule_names import RULE_NAMES

STEPS = {
    "last": "at the end of training",
    "val": "at the step with the highest mean accuracy on held-out images of the training environments"
    " (of a regression, the lowest mean risk)",
    "oracle": "at the step with the highest accuracy on the shifted test environment (of a regression, the lowest"
    " risk): an upper bound",
    "stop": "at the step that the method's own stopping rule chooses from training environments",
}
"""Rule -> where it scores each trial (computed when the trial ran)."""

USABLE = " (of those with the most seeds that have a value)"
"""Which of the settings are compared at all: see `readings.contenders`."""

SETTINGS: dict[str, str] = {
    **dict.fromkeys(RULE_NAMES, "the best mean of the cell's own metric, so it is tuned on the test environment"),
    "val": "the highest mean accuracy on held-out images of the training environments (of a regression, the lowest"
    " mean risk)",
}
"""Rule -> how one of several hyperparameter settings is chosen (computed here, over the seeds)."""
