"""What is measured of series: a curve for each series and panel, over one of the horizontal axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.figures.metrics import PanelMetric, named, one_measure
from irm_sweeps.analysis.figures.picture import Curve
from irm_sweeps.analysis.figures.series import Series
from irm_sweeps.analysis.histories import evaluations, history
from irm_sweeps.analysis.notes import Note, mixture_notes, setting_note, status_notes
from irm_sweeps.analysis.readings import Results, read
from irm_sweeps.analysis.settings import Setting, choose, settings
from irm_sweeps.analysis.statistics import Summary, summarize
from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    from irm_sweeps.analysis.table import Cell
    from irm_sweeps.trial import Trial


@dataclass
class Measuring:
    """Measures series: of several settings, one is chosen; mean and sd are over its trials.

    Parameters
    ----------
    panels
        The metric of each panel; by the last one, settings are chosen where the selection rule does so by a metric.
    mixtures
        Whether a remark says where a mean is over several versions of code or data.

    Raises
    ------
    UserError
        Some trials have accuracies, and others only risks.
    """

    series: Sequence[Series]
    results: Results
    stores: Sequence[Path]
    panels: Sequence[PanelMetric]
    mixtures: bool = False

    def __post_init__(self) -> None:
        trials = [(trial, one.rule) for one in self.series for trial in one.trials]
        scored = [(trial, scores) for trial, rule in trials if (scores := self.results.scores(trial.id, rule))]
        self.titles = [panel.title(scored) for panel in self.panels]
        self.measure = one_measure(metric for one in scored for panel in self.panels for metric in panel.metrics(*one))
        self._several_settings = False

    def over_environments(self, split: str, measure: str) -> list[Curve]:
        """Return a curve over all environments of a split for each series."""
        curves = []
        for series in self.series:
            setting, remarks = self._setting_of(series)
            trials = [reading.trial for reading in setting.readings] if setting else []
            environments = dict.fromkeys(
                e for t in trials for e in self.results.scores(t.id, series.rule).get(split, {})
            )
            metrics = {environment: named(f"{split}/{environment}/{measure}") for environment in environments}
            measured = {e: s for e, metric in metrics.items() if (s := self._summary(metric, trials, series.rule))}
            curves.append(Curve(series.label, measured, remarks=remarks))
        return curves

    def over_lam(self) -> list[Curve]:
        """Return a curve over the penalty weight for each series and panel; flat for a method that has none.

        Raises
        ------
        UserError
            There are not two penalty weights to draw a line between.
        """
        lams = sorted({trial.lam for series in self.series for trial in series.trials if trial.lam is not None})
        if not lams:
            raise UserError("--curves lam: no method here has a penalty weight; try --curves heatmap or training")
        if len(lams) == 1:
            raise UserError(f"--curves lam: the only penalty weight is lam={lams[0]:g}; sweep it, e.g. lam=1,100,10000")
        curves = []
        for series in self.series:
            measured: dict[str, dict[str, Summary]] = {title: {} for title in self.titles}
            remarks = remarks_of(series.label, self._lacking(series, *self._settings(series.trials, series.rule)))
            for lam in sorted({trial.lam for trial in series.trials}, key=lambda lam: lam or 0.0):
                trials = [trial for trial in series.trials if trial.lam == lam]
                setting, notes = self._choose(*self._settings(trials, series.rule), series.rule)
                remarks += remarks_of(series.label + ("" if lam is None else f" at lam={lam:g}"), notes)
                for title, summary in self._by_panel(setting, series.rule).items():
                    measured[title].update({f"{x:.12g}": summary for x in (lams if lam is None else [lam])})
            label = series.label + (" (no lam)" if all(trial.lam is None for trial in series.trials) else "")
            curves += _in_panels(label, measured, remarks)
        return curves

    def over_steps(self, quantity: str | None) -> list[Curve]:
        """Return a curve over training for each series: of a logged quantity, or for each panel of the evaluations.

        Raises
        ------
        UserError
            Nothing was evaluated on the way.
        """
        curves = []
        for series in self.series:
            setting, remarks = self._setting_of(series)
            trials = _measured(setting)
            if quantity is not None:
                measured, lacking = self._logged(series, trials, quantity)
                curves.append(Curve(series.label, measured, remarks=[*remarks, *lacking]))
            else:
                curves += _in_panels(series.label, self._evaluated(trials), remarks)
        if quantity is None and max((len(curve.measured) for curve in curves), default=0) == 1:
            raise UserError(
                "--curves training: the trials were evaluated once, at their end; run them with "
                "training.evaluate_every=K, or draw what is logged, e.g. --quantity risks"
            )
        return curves

    def over_tasks(self) -> list[Curve]:
        """Return a curve over the backbones and datasets for each method and panel.

        Raises
        ------
        UserError
            There is one backbone and one dataset.
        """
        if len({series.task for series in self.series}) == 1:
            raise UserError(
                "--curves heatmap: there is one backbone and one dataset, so one column; sweep one of them or a "
                "field, e.g. backbone.width=64,256 or dataset.noise_gap=0,0.05"
            )
        measured: dict[str, dict[str, dict[str, Summary]]] = {}
        remarks: dict[str, list[str]] = {}
        for series in self.series:
            setting, texts = self._setting_of(series)
            remarks.setdefault(series.name, []).extend(texts)
            panels = measured.setdefault(series.name, {title: {} for title in self.titles})
            for title, summary in self._by_panel(setting, series.rule).items():
                panels[title][series.task] = summary
        return [curve for name in measured for curve in _in_panels(name, measured[name], remarks[name])]

    def caption(self, steps: str) -> str:
        """Say by which rule a step of each trial (`{step}` in `steps`) and one of several settings are chosen."""
        sentences = []
        for rule in dict.fromkeys(series.rule for series in self.series):
            labels = [series.label for series in self.series if series.rule == rule]
            name = rule if len(labels) == len(self.series) else f"{rule} ({', '.join(labels)})"
            tuned = f"the best mean of {self.titles[-1]!r}: tuned on it"
            best = selection_rules.SETTINGS[rule] if rule == "val" else tuned
            several = f"; of several settings{selection_rules.USABLE}, the one with {best}"
            setting = several if self._several_settings else ""
            sentences.append(f"Selection rule {name}: {steps.format(step=selection_rules.STEPS[rule])}{setting}.")
        return " ".join(sentences)

    def _setting_of(self, series: Series) -> tuple[Setting | None, list[str]]:
        """Return the setting that speaks for a whole series, and all remarks."""
        candidates, metric = self._settings(series.trials, series.rule)
        setting, notes = self._choose(candidates, metric, series.rule)
        notes += self._lacking(series, candidates, metric)
        if setting and self.mixtures:
            notes += mixture_notes(setting, self.results, series.command)
        return setting, remarks_of(series.label, notes)

    def _settings(self, trials: Sequence[Trial], rule: str) -> tuple[list[Setting], str]:
        """Read the last panel's metric of each trial, the first where it is a mean of several, and return it too."""
        metrics = [self.panels[-1].metrics(trial, self.results.scores(trial.id, rule))[0] for trial in trials]
        readings = [read(trial, self.results, rule, metric) for trial, metric in zip(trials, metrics, strict=True)]
        return settings(readings), metrics[-1]

    def _choose(self, candidates: Sequence[Setting], metric: str, rule: str) -> tuple[Setting | None, list[Note]]:
        """Return the setting that speaks for some trials, and which it is if there are others."""
        setting = choose(candidates, rule, metric)
        if setting is None or len(candidates) == 1:
            return setting, []
        self._several_settings = True
        return setting, [setting_note(setting, candidates, rule)]

    def _summary(self, metric: PanelMetric, trials: Sequence[Trial], rule: str) -> Summary | None:
        values = [metric.value(trial, self.results.scores(trial.id, rule)) for trial in trials]
        numbers = [value for value in values if value is not None]
        return summarize(numbers) if numbers else None

    def _by_panel(self, setting: Setting | None, rule: str) -> dict[str, Summary]:
        """Return each panel's mean over a setting's trials, by title; one without a value is left out."""
        panels, trials = zip(self.titles, self.panels, strict=True), _measured(setting)
        return {title: summary for title, panel in panels if (summary := self._summary(panel, trials, rule))}

    def _logged(self, series: Series, trials: Sequence[Trial], quantity: str) -> tuple[dict[str, Summary], list[str]]:
        """Return a logged quantity by step, and a remark on each trial that has none."""
        logged, remarks = [], []
        for trial in trials:
            values, others = history(self.stores, trial.id, quantity, self.results.problems)
            logged.append(values)
            if not values:
                has = ", ".join(others) or "nothing"
                remarks.append(f"{series.label}: trial {trial.id} has no {quantity} in its history (has {has})")
        return _by_step(logged), remarks

    def _lacking(self, series: Series, candidates: Sequence[Setting], metric: str) -> list[Note]:
        """Account for the trials that are missing, diverged or failed, with the command that runs them."""
        fill, rerun = series.command(), series.command("rerun=failed")
        return status_notes(candidates, self.results, series.rule, metric, fill, rerun)

    def _evaluated(self, trials: Sequence[Trial]) -> dict[str, dict[str, Summary]]:
        """Return what was evaluated at each step, by panel."""
        evaluated = [(trial, evaluations(self.stores, trial.id, self.results.problems)) for trial in trials]
        measured = {}
        for title, panel in zip(self.titles, self.panels, strict=True):
            values = [
                {step: panel.value(trial, scores) for step, scores in steps.items()} for trial, steps in evaluated
            ]
            measured[title] = _by_step(values)
        return measured


def of_cells(label: str, cells: Sequence[Cell], places: Sequence[str | None]) -> Curve:
    """Return a curve of a table's row; a column whose place is None is not drawn, but has its remarks."""
    drawn = [(place, cell.measured) for place, cell in zip(places, cells, strict=True) if place is not None]
    measured = {place: summary for place, summary in drawn if summary}
    remarks = [remark for cell in cells for remark in remarks_of(f"{label}, {cell.column}", cell.notes)]
    return Curve(label, measured, remarks=remarks)


def remarks_of(label: str, notes: Iterable[Note]) -> list[str]:
    """Return notes as lines: whose they are, the sentence, and the command that goes with it."""
    return [f"{label}: {note.text}" + (f": {note.command}" if note.command else "") for note in notes]


def _measured(setting: Setting | None) -> list[Trial]:
    return [reading.trial for reading in setting.readings if reading.value is not None] if setting else []


def _by_step(trials: Iterable[Mapping[int, float | None]]) -> dict[str, Summary]:
    """Summarize the trials' values at each step."""
    values: dict[int, list[float]] = {}
    for steps in trials:
        for step, value in steps.items():
            if value is not None:
                values.setdefault(step, []).append(value)
    return {str(step): summarize(values[step]) for step in sorted(values)}


def _in_panels(label: str, measured: Mapping[str, Mapping[str, Summary]], remarks: Sequence[str]) -> list[Curve]:
    """Return a curve for each panel; the first one has the remarks."""
    return [
        Curve(label, summaries, remarks=() if i else remarks, panel=panel)
        for i, (panel, summaries) in enumerate(measured.items())
    ]
