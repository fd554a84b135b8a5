"""Names of numbers in a result, `split/environment/measure`, and checks that a trial will have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from irm_sweeps.data.dataset import Dataset
    from irm_sweeps.training.rule_names import RuleName
    from irm_sweeps.trial import Trial

MEASURES = ("accuracy", "risk", "ece", "pwcca")
"""What is measured of an environment: see `irm_sweeps.training.evaluation` and `irm_sweeps.training.similarity`."""


_LOWER_IS_BETTER = ("risk", "ece")


def is_lower_better(metric: str) -> bool:
    """Return whether the smaller of two values of `split/environment/measure` is the better one."""
    return metric.rpartition("/")[2] in _LOWER_IS_BETTER


def parts(metric: str) -> tuple[str, str, str]:
    """Split `split/environment/measure`; an environment may contain slashes, and `mean` is the mean over all.

    Raises
    ------
    UserError
        It has fewer parts, or a measure that is none of `MEASURES`.
    """
    split, _, rest = metric.partition("/")
    environment, _, measure = rest.rpartition("/")
    if not environment or measure not in MEASURES:
        known = " or ".join(f"split/environment/{measure}" for measure in MEASURES)
        raise UserError(f"metric {metric!r}: give {known}")
    return split, environment, measure


SIMILARITIES = {"representation": "environments", "inner_step": "inner_step"}
"""Split -> the value of `training.similarity` that makes it; `pwcca` is the only measure of these splits."""


def check_made(metric: str, rule: RuleName, trial: Trial) -> None:
    """Check, before anything is trained, that a trial's method and training make what a cell shows.

    Raises
    ------
    UserError
        Its method never stops, and the selection rule is `stop`; or the similarity is not measured.
    """
    if rule == "stop" and not trial.method.can_stop:
        name = type(trial.method).__name__
        raise UserError(
            f"selection rule stop: {name} as it is set never stops: select otherwise, or set a stopping rule where it "
            "has one"
        )
    split, environment, measure = parts(metric)
    kind = SIMILARITIES.get(split)
    if kind is not None and measure != "pwcca":
        raise UserError(f"metric {metric}: the split {split} has no {measure}: give {split}/{environment}/pwcca")
    if measure != "pwcca":
        return
    if kind is None:
        known = " or ".join(f"{split}/{environment}/pwcca" for split in SIMILARITIES)
        raise UserError(f"metric {metric}: the split {split} has no pwcca: give {known}")
    if trial.training.similarity not in (kind, "both"):
        raise UserError(
            f"metric {metric}: training.similarity={trial.training.similarity} does not measure it: set "
            f"training.similarity={kind}"
        )


def check_readable(metric: str, rule: RuleName, dataset: Dataset) -> None:
    """Check, before anything is trained, that a dataset's trials will have a metric under a selection rule.

    A regression has no accuracy. Environments are not checked of a dataset that does not announce them, nor of an inner
    step's similarity, whose environments are the layers of a network.

    Raises
    ------
    UserError
        They will not.
    """
    split, environment, measure = parts(metric)
    announced, name = dataset.announced, type(dataset).__name__
    if measure in ("accuracy", "ece") and dataset.is_regression:
        raise UserError(f"metric {metric}: {name} is a regression, without {measure}: use {split}/{environment}/risk")
    if announced is None:
        return
    if "val" not in announced and (rule == "val" or split == "val"):
        what = f"selection rule {rule}" if rule == "val" else f"metric {metric}"
        fix = "set dataset.n_val=N" if "n_val" in type(dataset).model_fields else "give it a `val` split"
        raise UserError(f"{what}: {name} holds no validation inputs back: {fix}, or select otherwise")
    if split == "representation":
        split = "test"  # its environments are those that it compares
    elif measure == "pwcca":
        return
    if split not in announced:
        raise UserError(f"metric {metric}: {name} has no split {split}; splits: {', '.join(announced)}")
    names = announced[split]
    if environment not in (*names, "mean"):
        raise UserError(
            f"metric {metric}: {name} has no {split} environment {environment}{did_you_mean(environment, names)}; "
            f"environments: {', '.join(names)}, or mean"
        )
