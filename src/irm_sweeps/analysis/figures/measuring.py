"""What is measured of series: a curve for each series and panel, over one of the horizontal axes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.figures.courses import Course, mean_and_strands, said
from irm_sweeps.analysis.figures.metrics import PanelMetric, named, one_measure, unit
from irm_sweeps.analysis.figures.picture import Curve, Lack
from irm_sweeps.analysis.figures.series import Series
from irm_sweeps.analysis.histories import evaluations, history
from irm_sweeps.analysis.readings import Reading, Results, Status, read
from irm_sweeps.analysis.running import is_running
from irm_sweeps.analysis.settings import Setting, choose, settings
from irm_sweeps.analysis.statistics.two_means import Summary, summarize
from irm_sweeps.analysis.tables.notes import Note, made_by, mixture_notes, setting_note, spelled, status_notes
from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    from irm_sweeps.analysis.tables.table import Cell
    from irm_sweeps.trial import Trial


_MOST_NAMED = 6
"""Most series whose chosen setting the caption names."""


@dataclass
class Measuring:
    """Measures series: of several settings, one is chosen; mean and sd are over its trials.

    Parameters
    ----------
    panels
        The metric of each panel; by the last one, settings are chosen where the selection rule does so by a metric.
    mixtures
        Whether a remark says where a mean is over several versions of code or data.
    by_task
        Whether each task has panels of its own, in place of lines among the others.

    Raises
    ------
    UserError
        Some trials have accuracies, and others only risks.
    """

    series: Sequence[Series]
    results: Results
    panels: Sequence[PanelMetric]
    mixtures: bool = False
    by_task: bool = False
    _chosen: dict[str, str] = field(default_factory=dict, init=False)
    """By label of a series, the setting that speaks for it, where there are others."""

    def __post_init__(self) -> None:
        trials = [(trial, one.rule) for one in self.series for trial in one.trials]
        scores_of = [(trial, self.results.scores(trial.id, rule)) for trial, rule in trials]
        scored = [(trial, scores) for trial, scores in scores_of if scores]
        self.titles = [panel.title(scored or ([] if panel.name else scores_of)) for panel in self.panels]
        scored = scored or scores_of
        self.measure = one_measure(metric for one in scored for panel in self.panels for metric in panel.metrics(*one))
        self._several_settings = False

    @property
    def unit(self) -> str:
        """What an axis of the measure is called."""
        return unit(self.measure, (trial for one in self.series for trial in one.trials))

    def over_environments(self, split: str, measure: str) -> list[Curve]:
        """Return a curve over all environments of a split for each series."""
        curves = []
        for series in self.series:
            setting, notes = self._setting_of(series)
            remarks, mixed = remarks_of(series.label, notes), mixed_of(notes)
            trials = [reading.trial for reading in setting.readings] if setting else []
            environments = dict.fromkeys(
                e for t in trials for e in self.results.scores(t.id, series.rule).get(split, {})
            )
            metrics = {environment: named(f"{split}/{environment}/{measure}") for environment in environments}
            measured = {e: s for e, metric in metrics.items() if (s := self._summary(metric, trials, series.rule))}
            lacks = self._lacks(series, setting)
            curves.append(Curve(series.label, measured, remarks=remarks, lacks=lacks, mixed=mixed))
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
            lacks: dict[str, Lack] = {}
            remarks = remarks_of(series.label, self._lacking(series, *self._settings(series.trials, series.rule)))
            for lam in sorted({trial.lam for trial in series.trials}, key=lambda lam: lam or 0.0):
                trials = [trial for trial in series.trials if trial.lam == lam]
                candidates, metric = self._settings(trials, series.rule)
                setting, notes = self._choose(candidates, metric, series.rule)
                if lack := _lack([setting] if setting else candidates, series.rule):
                    lacks["" if lam is None else f"lam={lam:g}"] = lack
                remarks += remarks_of(series.label + ("" if lam is None else f" at lam={lam:g}"), notes)
                for title, summary in self._by_panel(setting, series.rule).items():
                    measured[title].update({f"{x:.12g}": summary for x in (lams if lam is None else [lam])})
            label = self._label(series) + (" (no lam)" if all(trial.lam is None for trial in series.trials) else "")
            curves += self._in_panels(series, Curve(label, remarks=remarks, lacks=lacks), measured)
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
            curves += self._trained(series, quantity)
        lengths = [len(values) for c in curves for values in (c.measured, *(strand.values for strand in c.strands))]
        if quantity is None and max(lengths, default=0) == 1:
            raise UserError(
                "--curves training: the trials were evaluated once, at their end; run them with "
                "training.evaluate_every=K, or draw what is logged, e.g. --quantity risks"
            )
        return curves

    def _trained(self, series: Series, quantity: str | None) -> list[Curve]:
        """Return the courses of all seeds of one setting, in a curve for each panel; of a quantity, in one."""
        candidates, metric = self._settings(series.trials, series.rule)
        setting, notes = self._choose(candidates, metric, series.rule, series)
        if setting and self.mixtures:
            notes += mixture_notes(setting, self.results, series.command)
        setting = setting or self._furthest(candidates)
        readings = setting.readings if setting else []
        by_panel = self._evaluated(readings) if quantity is None else {"": self._logged(readings, quantity)}
        first = next(iter(by_panel.values()))
        seen = {reading.trial.id for reading, course in zip(readings, first, strict=True) if course.values}
        remarks = remarks_of(series.label, [*notes, *self._lacking(series, _drawn(candidates, seen), metric)])
        remarks += [f"{series.label}: {said(first)}"] if said(first) else []
        remarks += self._without(series, readings, seen, quantity)
        lack = _lack(_drawn([setting] if setting else candidates, seen), series.rule)
        lacks = {"": lack} if lack else {}
        whole = Curve(self._label(series), remarks=remarks, lacks=lacks, mixed=mixed_of(notes))
        curves = self._in_panels(series, whole, {panel: {} for panel in by_panel})
        parts = [mean_and_strands(courses) for courses in by_panel.values()]
        return [replace(curve, measured=m, strands=s) for curve, (m, s) in zip(curves, parts, strict=True)]

    def _furthest(self, candidates: Sequence[Setting]) -> Setting | None:
        """Return the setting whose seeds have logged most, where none has a result to be chosen by."""

        def rows(setting: Setting) -> int:
            readers, problems = self.results.readers, self.results.problems
            return sum(len(evaluations(readers, r.trial.id, problems)) for r in setting.readings)

        return max(candidates, key=rows, default=None)

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
        lacks: dict[str, dict[str, Lack]] = {}
        for series in self.series:
            setting, notes = self._setting_of(series)
            lacks.setdefault(series.name, {}).update(self._lacks(series, setting, series.task))
            remarks.setdefault(series.name, []).extend(remarks_of(series.label, notes))
            panels = measured.setdefault(series.name, {title: {} for title in self.titles})
            for title, summary in self._by_panel(setting, series.rule).items():
                panels[title][series.task] = summary
        return [
            replace(curve, measured=measured[name][title])
            for name in measured
            for title, curve in (
                (title, Curve(name, remarks=() if i else remarks[name], panel=title, lacks=lacks[name]))
                for i, title in enumerate(self.titles)
            )
        ]

    def caption(self, steps: str) -> str:
        """Say by which rule a step of each trial (`{step}` in `steps`) and one of several settings are chosen.

        Also by which versions of this package the trials were made, where there are several.
        """
        sentences = []
        for rule in dict.fromkeys(series.rule for series in self.series):
            labels = [series.label for series in self.series if series.rule == rule]
            name = rule if len(labels) == len(self.series) else f"{rule} ({', '.join(labels)})"
            tuned = f"the best mean of {self.titles[-1]!r}: tuned on it"
            best = selection_rules.SETTINGS[rule] if rule == "val" else tuned
            several = f"; of several settings{selection_rules.USABLE}, the one with {best}"
            setting = several if self._several_settings else ""
            sentences.append(f"Selection rule {name}: {steps.format(step=selection_rules.STEPS[rule])}{setting}.")
        if self._chosen:
            chosen = [f"{label} {words}" for label, words in self._chosen.items()]
            sentences.append(
                f"Shown: {'; '.join([*chosen[:_MOST_NAMED], *(['...'] if chosen[_MOST_NAMED:] else [])])}."
            )
        versions = made_by(self.results, (trial.id for series in self.series for trial in series.trials))
        return " ".join([*sentences, *([f"{versions}."] if versions else [])])

    def _setting_of(self, series: Series) -> tuple[Setting | None, list[Note]]:
        """Return the setting that speaks for a whole series, and all notes."""
        candidates, metric = self._settings(series.trials, series.rule)
        setting, notes = self._choose(candidates, metric, series.rule, series)
        notes += self._lacking(series, candidates, metric)
        if setting and self.mixtures:
            notes += mixture_notes(setting, self.results, series.command)
        return setting, notes

    def _settings(self, trials: Sequence[Trial], rule: str) -> tuple[list[Setting], str]:
        """Read the last panel's metric of each trial, the first where it is a mean of several, and return it too."""
        metrics = [self.panels[-1].metrics(trial, self.results.scores(trial.id, rule))[0] for trial in trials]
        readings = [read(trial, self.results, rule, metric) for trial, metric in zip(trials, metrics, strict=True)]
        return settings(readings), metrics[-1]

    def _choose(
        self, candidates: Sequence[Setting], metric: str, rule: str, whole: Series | None = None
    ) -> tuple[Setting | None, list[Note]]:
        """Return the setting that speaks for some trials, perhaps a `whole` series, and which it is of several."""
        setting = choose(candidates, rule, metric)
        if setting is None or len(candidates) == 1:
            return setting, []
        self._several_settings = True
        if whole:
            self._chosen[whole.label] = spelled(setting.differs)
        return setting, [setting_note(setting, candidates, rule)]

    def _summary(self, metric: PanelMetric, trials: Sequence[Trial], rule: str) -> Summary | None:
        values = [metric.value(trial, self.results.scores(trial.id, rule)) for trial in trials]
        numbers = [value for value in values if value is not None]
        return summarize(numbers) if numbers else None

    def _by_panel(self, setting: Setting | None, rule: str) -> dict[str, Summary]:
        """Return each panel's mean over a setting's trials, by title; one without a value is left out."""
        panels, trials = zip(self.titles, self.panels, strict=True), _measured(setting)
        return {title: summary for title, panel in panels if (summary := self._summary(panel, trials, rule))}

    def _logged(self, readings: Sequence[Reading], quantity: str) -> list[Course]:
        """Return a logged quantity of each trial."""
        values = [history(self.results.readers, r.trial.id, quantity, self.results.problems)[0] for r in readings]
        return [Course(own, self._ending(r)) for r, own in zip(readings, values, strict=True)]

    def _without(
        self, series: Series, readings: Sequence[Reading], seen: Container[str], quantity: str | None
    ) -> list[str]:
        """Return a remark on each completed trial that has nothing of a quantity."""
        remarks = []
        for trial in [r.trial for r in readings if self._ending(r) == "completed" and r.trial.id not in seen]:
            _, others = history(self.results.readers, trial.id, quantity or "", self.results.problems)
            has = ", ".join(others) or "nothing"
            wanted = quantity or "evaluation"
            remarks.append(f"{series.label}: trial {trial.id} has no {wanted} in its history (has {has})")
        return remarks

    def _ending(self, reading: Reading) -> str:
        """Return why the history of a trial ends; see `Strand`."""
        if reading.status in ("diverged", "failed"):
            return reading.status
        if reading.status not in ("missing", "unreadable"):
            return "completed"
        return "running" if is_running(self.results.readers, reading.trial.id) else "stopped"

    def _lacking(self, series: Series, candidates: Sequence[Setting], metric: str) -> list[Note]:
        """Account for the trials that are missing, diverged or failed, with the command that runs them."""
        fill, rerun = series.command(), series.command("rerun=failed")
        return status_notes(candidates, self.results, series.rule, metric, fill, rerun)

    def _evaluated(self, readings: Sequence[Reading]) -> dict[str, list[Course]]:
        """Return what was evaluated of each trial, by panel."""
        readers, problems = self.results.readers, self.results.problems
        evaluated = [(r, evaluations(readers, r.trial.id, problems), self._ending(r)) for r in readings]
        courses = {}
        for title, panel in zip(self.titles, self.panels, strict=True):
            values = [
                {step: value for step, scores in steps.items() if (value := panel.value(r.trial, scores)) is not None}
                for r, steps, _ in evaluated
            ]
            courses[title] = [Course(own, end) for own, (_, _, end) in zip(values, evaluated, strict=True)]
        return courses

    def _label(self, series: Series) -> str:
        return series.name if self.by_task else series.label

    def _lacks(self, series: Series, setting: Setting | None, place: str = "") -> dict[str, Lack]:
        """Return the trials of a series, or of the setting that speaks for it, that have no value."""
        lack = _lack([setting] if setting else self._settings(series.trials, series.rule)[0], series.rule)
        return {place: lack} if lack else {}

    def _in_panels(self, series: Series, whole: Curve, measured: Mapping[str, Mapping[str, Summary]]) -> list[Curve]:
        """Return a curve for each panel; the first one has the remarks."""
        task = series.task if self.by_task else ""
        titles = {panel: "\n".join(word for word in (panel, task) if word) or None for panel in measured}
        return [
            replace(whole, measured=summaries, remarks=() if i else whole.remarks, panel=titles[panel])
            for i, (panel, summaries) in enumerate(measured.items())
        ]


def of_cells(
    label: str, cells: Sequence[Cell], places: Sequence[str | None], lacks: Mapping[str, Lack] | None = None
) -> Curve:
    """Return a curve of a table's row; a column whose place is None is not drawn, but has its remarks."""
    drawn = [(place, cell.measured) for place, cell in zip(places, cells, strict=True) if place is not None]
    measured = {place: summary for place, summary in drawn if summary}
    remarks = [remark for cell in cells for remark in remarks_of(f"{label}, {cell.column}", cell.notes)]
    mixed = {
        place: words
        for place, cell in zip(places, cells, strict=True)
        if place is not None
        for words in mixed_of(cell.notes).values()
    }
    return Curve(label, measured, remarks=remarks, lacks=lacks or {}, mixed=mixed)


def remarks_of(label: str, notes: Iterable[Note]) -> list[str]:
    """Return notes as lines: whose they are, the sentence, and the command that goes with it."""
    return [f"{label}: {note.text}" + (f": {note.command}" if note.command else "") for note in notes]


def mixed_of(notes: Iterable[Note]) -> dict[str, list[str]]:
    """Return what a mean mixes, as a curve without places has it; empty where it mixes nothing."""
    mixed = [note.mixed for note in notes if note.mixed]
    return {"": mixed} if mixed else {}


def _measured(setting: Setting | None) -> list[Trial]:
    return [reading.trial for reading in setting.readings if reading.value is not None] if setting else []


def _drawn(candidates: Sequence[Setting], seen: Container[str]) -> list[Setting]:
    """Return settings in which the trials that are drawn count as measured."""
    done: Status = "measured"
    return [
        replace(one, readings=[replace(r, status=done) if r.trial.id in seen else r for r in one.readings])
        for one in candidates
    ]


def _lack(candidates: Sequence[Setting], rule: str) -> Lack | None:
    return Lack.of((reading.status for setting in candidates for reading in setting.readings), rule)
