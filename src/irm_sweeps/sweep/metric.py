"""The name of a number in a result: `split/environment/measure`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from irm_sweeps.data.dataset import Dataset

MEASURES = ("accuracy", "risk", "pwcca")
"""What is measured of an environment: see `irm_sweeps.training.evaluation` and `irm_sweeps.training.similarity`."""


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
        raise UserError(f"metric {metric!r} in the paper file: give {known}")
    return split, environment, measure


def check_readable(metric: str, rule: str, dataset: Dataset) -> None:
    """Find out, before anything is trained, whether a dataset's trials will have a metric under a selection rule.

    A regression has no accuracy. Environments are not judged of a dataset that does not announce them, nor of a
    similarity (`pwcca`), whose environments are made by the evaluation.

    Raises
    ------
    UserError
        They will not.
    """
    split, environment, measure = parts(metric)
    announced, name = dataset.announced, type(dataset).__name__
    if measure == "accuracy" and dataset.loss == "squared":
        raise UserError(f"metric {metric}: {name} is a regression, without accuracy: use {split}/{environment}/risk")
    if announced is None:
        return
    if "val" not in announced and (rule == "val" or split == "val"):
        what = f"selection rule {rule}" if rule == "val" else f"metric {metric}"
        fix = "set dataset.n_val=N" if "n_val" in type(dataset).model_fields else "give it a `val` split"
        raise UserError(f"{what}: {name} holds no validation inputs back: {fix}, or select otherwise")
    if measure == "pwcca":
        return
    if split not in announced:
        raise UserError(f"metric {metric}: {name} has no split {split}; splits: {', '.join(announced)}")
    names = announced[split]
    if environment not in (*names, "mean"):
        raise UserError(
            f"metric {metric}: {name} has no {split} environment {environment}{did_you_mean(environment, names)}; "
            f"environments: {', '.join(names)}, or mean"
        )
