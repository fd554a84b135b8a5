"""Which metrics a panel shows: a dataset's shifted test environment, those like training, or metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from irm_sweeps.analysis.histories import BySplit
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.trial import Trial

UNITS = {"accuracy": "accuracy (%)", "risk": "risk (nats)", "ece": "calibration error", "pwcca": "PWCCA similarity"}
"""Measure -> what an axis of it is called; `unit` says it of regressions too."""


@dataclass(frozen=True)
class PanelMetric:
    """The number that a panel shows of each trial: the mean of one metric or several.

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
        values, measure = [], ""
        for metric in self.metrics(trial, scores):
            split, environment, measure = parts(metric)
            known = scores.get(split, {})
            names = known if environment == "mean" else [environment]
            values += [known[name].measures.get(measure) if name in known else None for name in names] or [None]
        finite = [value for value in values if value is not None]
        scale = 100.0 if measure == "accuracy" else 1.0
        return scale * fmean(finite) if len(finite) == len(values) > 0 else None

    def title(self, scored: Iterable[tuple[Trial, BySplit]]) -> str:
        """Return the name with the environments, where they are the same in all trials."""
        metrics = {tuple(self.metrics(trial, scores)) for trial, scores in scored}
        if len(metrics) != 1:
            return self.name
        split_environment = [parts(metric)[:2] for metric in metrics.pop()]
        split = split_environment[0][0]
        names = ", ".join(environment for _, environment in split_environment)
        plural = "s" if len(split_environment) > 1 else ""
        words = f"mean of {split} environments" if names == "mean" else f"{split} environment{plural} {names}"
        return f"{self.name}: {words}" if self.name else words


def named(metric: str) -> PanelMetric:
    """Return one metric as a panel.

    Raises
    ------
    UserError
        It is no metric.
    """
    parts(metric)
    return PanelMetric("", lambda *_: [metric])


def one_measure(metrics: Iterable[str]) -> str:
    """Return the measure of all metrics; without any, `accuracy`.

    Raises
    ------
    UserError
        They have several.
    """
    measures = sorted({parts(metric)[2] for metric in metrics})
    if len(measures) > 1:
        raise UserError(f"{' and '.join(measures)} do not go on one scale: name what to draw with --metric")
    return measures[0] if measures else "accuracy"


def unit(measure: str, trials: Iterable[Trial]) -> str:
    """Return what an axis of a measure is called, for these trials: the risk of a regression is not in nats."""
    if measure != "risk":
        return UNITS.get(measure, measure)
    regressions = {trial.dataset.is_regression for trial in trials}
    if regressions == {True}:
        return "risk (mean squared error)"
    return "risk" if True in regressions else UNITS[measure]


def _measure(trial: Trial) -> str:
    return "risk" if trial.dataset.is_regression else "accuracy"


def _in_distribution(trial: Trial, scores: BySplit) -> list[str]:
    """Return the test environments that are named as training ones, else what is held out of these, else these.

    Where the shifted environment has a training environment's name, names mean nothing.
    """
    training, measure = scores.get("train", {}), _measure(trial)
    alike = [name for name in scores.get("test", {}) if name in training]
    if alike and trial.dataset.shifted not in alike:
        return [f"test/{name}/{measure}" for name in alike]
    return [f"{'val' if 'val' in scores else 'train'}/mean/{measure}"]


DEFAULT: Sequence[PanelMetric] = (
    PanelMetric("in distribution", _in_distribution),
    PanelMetric("shifted", lambda trial, _: [f"test/{trial.dataset.shifted}/{_measure(trial)}"]),
)
"""The two panels of a picture that names no metrics."""
