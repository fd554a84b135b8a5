"""What a general picture looks at: a dataset's shifted test environment, one like training, or metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from irm_sweeps.analysis.histories import BySplit
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Probe:
    """One panel: which metrics of a trial's scores are averaged.

    Attributes
    ----------
    name
        In words, without the environments.
    metrics
        From a trial and its scores to `split/environment/measure`, one or several.
    """

    name: str
    metrics: Callable[[Trial, BySplit], list[str]]

    def value(self, trial: Trial, scores: BySplit) -> float | None:
        """Return the mean of the metrics, accuracies in per cent; None if one is not there or not finite."""
        values = []
        for metric in self.metrics(trial, scores):
            split, environment, measure = parts(metric)
            known = scores.get(split, {})
            names = known if environment == "mean" else [environment]
            values += [known[name].measures.get(measure) if name in known else None for name in names] or [None]
        finite = [value for value in values if value is not None]
        scale = 100.0 if parts(self.metrics(trial, scores)[0])[2] == "accuracy" else 1.0
        return scale * fmean(finite) if len(finite) == len(values) > 0 else None

    def title(self, seen: Sequence[tuple[Trial, BySplit]]) -> str:
        """Return the name with the environments, where they are the same in all trials."""
        found = {tuple(self.metrics(trial, scores)) for trial, scores in seen}
        if len(found) != 1:
            return self.name
        split_environment = [parts(metric)[:2] for metric in found.pop()]
        split = split_environment[0][0]
        names = ", ".join(environment for _, environment in split_environment)
        plural = "s" if len(split_environment) > 1 else ""
        said = f"mean of {split} environments" if names == "mean" else f"{split} environment{plural} {names}"
        return f"{self.name}: {said}" if self.name else said


def measure_of(trial: Trial) -> str:
    """Return `accuracy`, or `risk` for a regression."""
    return "risk" if trial.dataset.loss == "squared" else "accuracy"


def shifted_metric(trial: Trial) -> str:
    """Return the metric of the dataset's shifted test environment."""
    return f"test/{trial.dataset.shifted}/{measure_of(trial)}"


def _in_distribution(trial: Trial, scores: BySplit) -> list[str]:
    """Return the test environments that are named as training ones, else what is held out of these, else these.

    Where the shifted environment has a training environment's name, names mean nothing.
    """
    training, measure = scores.get("train", {}), measure_of(trial)
    alike = [name for name in scores.get("test", {}) if name in training]
    if alike and trial.dataset.shifted not in alike:
        return [f"test/{name}/{measure}" for name in alike]
    return [f"{'val' if 'val' in scores else 'train'}/mean/{measure}"]


DEFAULT = (
    Probe("in distribution", _in_distribution),
    Probe("shifted", lambda trial, _: [shifted_metric(trial)]),
)
"""The two panels of a picture that names no metrics; the second decides between settings."""


def named(metrics: Sequence[str]) -> tuple[Probe, ...]:
    """Return a probe for each metric; the last decides between settings.

    Raises
    ------
    UserError
        One is no metric.
    """
    for metric in metrics:
        parts(metric)
    return tuple(Probe("", lambda _, __, metric=metric: [metric]) for metric in metrics)  # type: ignore[misc]
