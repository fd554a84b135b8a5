"""The general pictures: over the penalty weight, over training, or one number for each method and task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.figures.lines import Line
from irm_sweeps.analysis.figures.metrics import Probe
from irm_sweeps.analysis.figures.paper_series import Curve
from irm_sweeps.analysis.histories import evaluations, history
from irm_sweeps.analysis.notes import setting_note, status_notes
from irm_sweeps.analysis.readings import Results, Setting, choose, read, settings
from irm_sweeps.analysis.statistics import Summary, summarize
from irm_sweeps.analysis.table_builder import Builder
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Found:
    """What there is to draw.

    Attributes
    ----------
    curves
        A curve for each line and panel, the same lines in the same order in each panel.
    measure
        `accuracy` or `risk`.
    caption
        Selection rules, in words.
    places
        What the columns of a heat map are, from left to right.
    """

    curves: Sequence[Curve]
    measure: str
    caption: str
    places: Sequence[str] = ()


class General:
    """Measures lines.

    Parameters
    ----------
    probes
        What is looked at, a panel each; by the last one settings are chosen where the rule does so by a metric.

    Raises
    ------
    UserError
        Some trials have accuracies, and others only risks.
    """

    def __init__(
        self, lines: Sequence[Line], results: Results, stores: Sequence[Path], probes: Sequence[Probe]
    ) -> None:
        self.lines, self.results, self.stores, self.probes = lines, results, stores, probes
        seen = [(t, s) for line in lines for t in line.trials if (s := self.results.scores(t.id, line.rule))]
        self.titles = [probe.title(seen) for probe in probes]
        self.measure = _one_measure(metric for t, s in seen for probe in probes for metric in probe.metrics(t, s))
        self._several = False

    def over_lam(self) -> Found:
        """Return a curve over the penalty weight for each line and probe; flat for a method that has none.

        Raises
        ------
        UserError
            There are not two penalty weights to draw a line between.
        """
        from irm_sweeps.errors import UserError

        lams = sorted({trial.lam for line in self.lines for trial in line.trials if trial.lam is not None})
        if not lams:
            raise UserError("--curves lam: no method here has a penalty weight; try --curves heatmap or training")
        if len(lams) == 1:
            raise UserError(f"--curves lam: the only penalty weight is lam={lams[0]:g}; sweep it, e.g. lam=1,100,10000")
        found = []
        for line in self.lines:
            measured: dict[str, dict[str, Summary]] = {title: {} for title in self.titles}
            remarks = self._lacking(line)
            for lam in sorted({trial.lam for trial in line.trials}, key=lambda lam: lam or 0.0):
                chosen, note = self._choose([trial for trial in line.trials if trial.lam == lam], line.rule)
                at = "" if lam is None else f" at lam={lam:g}"
                remarks += [f"{line.label}{at}: {note}"] if note else []
                for title, summary in self._summaries(chosen, line.rule).items():
                    measured[title].update({f"{x:.12g}": summary for x in (lams if lam is None else [lam])})
            label = line.label + (" (no lam)" if all(trial.lam is None for trial in line.trials) else "")
            found += _panels(label, measured, remarks)
        return Found(found, self.measure, self._caption("each trial is scored {step}"))

    def over_training(self, quantity: str | None) -> Found:
        """Return a curve over the steps for each line: of a logged quantity, or for each probe of the evaluations.

        Raises
        ------
        UserError
            Nothing was evaluated on the way.
        """
        from irm_sweeps.errors import UserError

        found = []
        for line in self.lines:
            chosen, note = self._choose(line.trials, line.rule)
            remarks = ([f"{line.label}: {note}"] if note else []) + self._lacking(line)
            values: dict[str | None, dict[int, list[float]]] = {title: {} for title in self.titles if not quantity}
            for trial in _measured(chosen):
                if quantity is not None:
                    logged, others = history(self.stores, trial.id, quantity, self.results.problems)
                    if not logged:
                        has = ", ".join(others) or "nothing"
                        remarks.append(f"{line.label}: trial {trial.id} has no {quantity} in its history (has {has})")
                    for step, value in logged.items():
                        values.setdefault(None, {}).setdefault(step, []).append(value)
                    continue
                for step, scores in evaluations(self.stores, trial.id, self.results.problems).items():
                    for title, probe in zip(self.titles, self.probes, strict=True):
                        if (own := probe.value(trial, scores)) is not None:
                            values[title].setdefault(step, []).append(own)
            steps = {title: {str(s): summarize(own[s]) for s in sorted(own)} for title, own in values.items()}
            found += _panels(line.label, steps or {None: {}}, remarks)
        if quantity is None and max((len(curve.measured) for curve in found), default=0) == 1:
            raise UserError(
                "--curves training: the trials were evaluated once, at their end; run them with "
                "training.evaluate_every=K, or draw what is logged, e.g. --quantity risks"
            )
        return Found(found, self.measure, self._caption("every step is shown"))

    def over_tasks(self) -> Found:
        """Return a curve over the backbones and datasets for each method and probe: the rows of heat maps.

        Raises
        ------
        UserError
            There is one backbone and one dataset.
        """
        from irm_sweeps.errors import UserError

        tasks = dict.fromkeys(line.variant for line in self.lines)
        if len(tasks) == 1:
            raise UserError(
                "--curves heatmap: there is one backbone and one dataset, so one column; sweep one of them or a "
                "field, e.g. backbone.width=64,256 or dataset.noise_gap=0,0.05"
            )
        measured: dict[str, dict[str, dict[str, Summary]]] = {}
        remarks: dict[str, list[str]] = {}
        for line in self.lines:
            chosen, note = self._choose(line.trials, line.rule)
            said = ([f"{line.label}: {note}"] if note else []) + self._lacking(line)
            remarks.setdefault(line.name, []).extend(said)
            own = measured.setdefault(line.name, {title: {} for title in self.titles})
            for title, summary in self._summaries(chosen, line.rule).items():
                own[title][line.variant] = summary
        found = [curve for name in measured for curve in _panels(name, measured[name], remarks[name])]
        return Found(found, self.measure, self._caption("each trial is scored {step}"), list(tasks))

    def _choose(self, trials: Sequence[Trial], rule: str) -> tuple[Setting | None, str]:
        """Return the setting that speaks for some trials, and which it is if there are others."""
        candidates, metric = self._settings(trials, rule)
        chosen = choose(candidates, rule, metric)
        if chosen is None or len(candidates) == 1:
            return chosen, ""
        self._several = True
        return chosen, setting_note(chosen, candidates, rule).text

    def _lacking(self, line: Line) -> list[str]:
        """Account for the trials of a line that are missing, diverged or failed, with the command that runs them."""
        candidates, metric = self._settings(line.trials, line.rule)
        notes = status_notes(candidates, line.rule, metric, line.fill or "", line.rerun or "")
        return [f"{line.label}: {note.text}" + (f": {note.command}" if note.command else "") for note in notes]

    def _settings(self, trials: Sequence[Trial], rule: str) -> tuple[list[Setting], str]:
        """Read the last probe's metric of each trial; of several environments the mean is of the first."""
        readings, metric = [], "test/mean/accuracy"
        for trial in trials:
            metric = self.probes[-1].metrics(trial, self.results.scores(trial.id, rule))[0]
            readings.append(read(trial, self.results, rule, metric))
        return settings(readings), metric

    def _summaries(self, chosen: Setting | None, rule: str) -> dict[str, Summary]:
        """Return each probe's mean over a setting's trials, by title; one without a value is left out."""
        found = {}
        for title, probe in zip(self.titles, self.probes, strict=True):
            values = [probe.value(trial, self.results.scores(trial.id, rule)) for trial in _measured(chosen)]
            if own := [value for value in values if value is not None]:
                found[title] = summarize(own)
        return found

    def _caption(self, steps: str) -> str:
        """Say which rule speaks, for a step of each trial and for one of several settings."""
        said = []
        for rule in dict.fromkeys(line.rule for line in self.lines):
            whose = [line.label for line in self.lines if line.rule == rule]
            name = rule if len(whose) == len(self.lines) else f"{rule} ({', '.join(whose)})"
            best = (
                selection_rules.SETTINGS[rule]
                if rule == "val"
                else f"the best mean of {self.titles[-1]!r}: tuned on it"
            )
            setting = f"; of several settings{selection_rules.USABLE}, the one with {best}" if self._several else ""
            said.append(f"Selection rule {name}: {steps.format(step=selection_rules.STEPS[rule])}{setting}.")
        return " ".join(said)


def of_table(builder: Builder) -> Found:
    """Return a curve over the columns of a paper's table for each row: the rows of a heat map.

    Raises
    ------
    UserError
        Its columns are not all of one measure.
    """
    table = builder.table()
    measure = _one_measure(column.metric for column in builder.paper.columns)
    found = []
    for label, cells in table.rows:
        measured = {cell.column: cell.measured for cell in cells if cell.measured}
        remarks = [
            f"{label}, {cell.column}: {note.text}" + (f": {note.command}" if note.command else "")
            for cell in cells
            for note in cell.notes
        ]
        if any(cell.state or cell.measured for cell in cells):
            found.append(Curve(label, False, measured, {}, remarks))
    caption = " ".join(line for line in table.footer if line.startswith(("Selection rule", "Row ", "Of several")))
    return Found(found, measure, caption, list(table.columns))


def _measured(chosen: Setting | None) -> list[Trial]:
    return [reading.trial for reading in chosen.readings if reading.value is not None] if chosen else []


def _panels(label: str, measured: Mapping[Any, Mapping[str, Summary]], remarks: Sequence[str]) -> list[Curve]:
    """Return a curve for each panel; the first one has the remarks."""
    said = [remarks, *[()] * len(measured)]
    return [Curve(label, False, own, {}, said[i], panel) for i, (panel, own) in enumerate(measured.items())]


def _one_measure(metrics: Iterable[str]) -> str:
    from irm_sweeps.errors import UserError

    found = sorted({parts(metric)[2] for metric in metrics})
    if len(found) > 1:
        raise UserError(f"{' and '.join(found)} do not go on one scale: name what to draw with --metric")
    return found[0] if found else "accuracy"
