"""Readings: what the results in the stores say of one trial under one selection rule and metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from irm_sweeps.analysis.histories import BySplit
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.store.disagreements import Disagreements
    from irm_sweeps.store.earlier_code import EarlierCode
    from irm_sweeps.store.origin import Origin
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.result import Evaluation, Result
    from irm_sweeps.trial import Trial

Status = Literal[
    "measured", "missing", "unreadable", "diverged", "failed", "unselected", "unknown metric", "not finite"
]
"""`unselected`: the selection rule chose no evaluation of the trial. The last two concern the one metric."""


@dataclass(frozen=True)
class Reading:
    """The status and value of one trial under one selection rule and metric.

    Attributes
    ----------
    value
        Risk, or accuracy in [0, 1]; None unless `measured`.
    validation
        Mean accuracy, or in a regression minus the mean risk, over the validation environments under the rule;
        None without validation environments.
    detail
        A few words on what went wrong.
    """

    trial: Trial
    status: Status
    value: float | None = None
    validation: float | None = None
    detail: str = ""


class Results:
    """The results of one or several stores or archives, each read once; of several results of a trial, a completed one.

    Parameters
    ----------
    known
        Results of the first store that have been read, by trial id.

    Attributes
    ----------
    readers
        What reads each store, in their order.
    problems
        One line for each store that does not exist and each file read so far that is damaged or unreadable.
    disagreements
        The trials read so far of which several stores have completed or diverged results with other numbers.
    unreadable
        Ids of the trials read so far that have an unreadable result and no readable one.
    """

    def __init__(self, stores: Iterable[Path], known: Mapping[str, Result] | None = None) -> None:
        from irm_sweeps.files.reading import is_there
        from irm_sweeps.store.archive import open_reader
        from irm_sweeps.store.disagreements import Disagreements

        self.disagreements: Disagreements = Disagreements()
        self.readers = [open_reader(root) for root in stores]
        self._by_id: dict[str, Result | None] = dict(known or {})
        self._earlier: EarlierCode | None = None
        self._reader_of: dict[str, Reader] = dict.fromkeys(self._by_id, self.readers[0]) if known else {}
        self.unreadable: set[str] = set()
        self.problems = [f"{store.root}: no such store" for store in self.readers if not is_there(store.root)]

    def of(self, trial_id: str) -> Result | None:
        """Return a trial's result, or None if no store has a readable one."""
        if trial_id not in self._by_id:
            self._by_id[trial_id] = self._read(trial_id)
        return self._by_id[trial_id]

    @property
    def remarks(self) -> list[str]:
        """The problems, and a line for each two stores that disagree."""
        return [*self.problems, *self.disagreements.lines()]

    def look_again(self) -> None:
        """Forget what was read: stores may have other results now."""
        from irm_sweeps.store.disagreements import Disagreements

        self._by_id, self._earlier, self._reader_of = {}, None, {}
        self.unreadable, self.problems, self.disagreements = set(), [], Disagreements()

    def done_by_earlier_code(self, trials: Iterable[Trial]) -> str:
        """Return e.g. `2 done by an earlier version of risk_gap.RiskGap`; an empty string where there are none."""
        from irm_sweeps.store.earlier_code import EarlierCode, told

        if self._earlier is None:
            self._earlier = EarlierCode(self.readers)
        return told(self._earlier.of(trials))

    def scores(self, trial_id: str, rule: str) -> BySplit:
        """Return a trial's scores under a selection rule, by split and environment; empty if it has none."""
        result = self.of(trial_id)
        return {} if result is None else result.scores(rule)

    def store_of(self, trial_id: str) -> Path:
        """Return the store that a trial's result was read from; the trial must have one."""
        return self._reader_of[trial_id].root

    def origin(self, trial_id: str) -> Origin | None:
        """Return the archive that a trial's result was unpacked from, if it was; the trial must have one."""
        return self._reader_of[trial_id].origin(trial_id)

    def everything(self) -> list[Result]:
        """Return the results of all trials in the stores."""
        ids = sorted({trial_id for reader in self.readers for trial_id in reader.trial_ids()})
        return [result for result in map(self.of, ids) if result is not None]

    def _read(self, trial_id: str) -> Result | None:
        from irm_sweeps.files.reading import DamagedFile, UnreadableFile

        unreadable = False
        found: list[tuple[Reader, Result]] = []
        for reader in self.readers:
            try:
                result = reader.result(trial_id)
            except DamagedFile as damage:
                self.problems.append(str(damage))
                unreadable = unreadable or isinstance(damage, UnreadableFile)
                continue
            if result is not None:
                found.append((reader, result))
        if not found:
            if unreadable:
                self.unreadable.add(trial_id)
            return None
        self._reader_of[trial_id], chosen = self.disagreements.choose(found)
        return chosen


def read(trial: Trial, results: Results, rule: str, metric: str) -> Reading:
    """Read a trial's metric `split/environment/measure` under a selection rule."""
    from irm_sweeps.errors import one_line

    result = results.of(trial.id)
    status = state(result, rule, unreadable=trial.id in results.unreadable)
    if result is None or status != "measured":
        return Reading(trial, status, detail=_detail(result))
    evaluation = result.metrics[rule]
    split, environment, measure = parts(metric)
    try:
        values = evaluation.values(split, measure, None if environment == "mean" else environment)
    except KeyError:
        known = [f"{s}/{e}/{measure}" for s, e, scores in evaluation.environments() if measure in scores.measures]
        return Reading(trial, "unknown metric", detail=f"(has {one_line(', '.join(known))})")
    finite = [value for value in values if value is not None]
    if not finite or len(finite) < len(values):
        return Reading(trial, "not finite")
    return Reading(trial, "measured", fmean(finite), _validation_merit(evaluation))


def state(result: Result | None, rule: str, *, unreadable: bool) -> Status:
    """Return the status of a trial's result under a selection rule, whatever the metric.

    `unreadable`: whether the trial has a result that may not be read.
    """
    if result is None:
        return "unreadable" if unreadable else "missing"
    if result.status != "completed":
        return result.status
    return "measured" if rule in result.metrics else "unselected"


def _detail(result: Result | None) -> str:
    """Return what went wrong in a trial that did not complete."""
    from irm_sweeps.errors import one_line

    if result is None or result.status == "completed":
        return ""
    return result.divergence if result.error is None else one_line(result.error.message) or "no message"


def _validation_merit(evaluation: Evaluation) -> float | None:
    merits = [scores.merit for scores in evaluation.scores.get("val", {}).values()]
    return sum(merits) / len(merits) if merits else None
