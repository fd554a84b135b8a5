"""From a paper's trials to the lines of its figure: one measure over the test environments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layout import Builder
from measured import choose, parts, read, settings
from notes import setting_note, status_notes
from verdict import Summary, summarize

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Row
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Curve:
    """One row of the table. Means and sds are in the unit that is drawn: per cent for accuracies.

    Attributes
    ----------
    reference
        Whether there is nothing to measure: chance level, say, or the optimum.
    measured, published
        By test environment; empty where there is nothing.
    remarks
        What was left out, and which setting is shown.
    """

    label: str
    reference: bool
    measured: Mapping[str, Summary]
    published: Mapping[str, Summary]
    remarks: Sequence[str] = ()


def curves(builder: Builder, measure: str) -> Iterator[Curve]:
    """Yield a curve for every row, even if there is nothing of it to draw."""
    from irm_sweeps.errors import UnknownChoice

    for name, row in builder.paper.rows.items():
        published = _published(builder, row, measure)
        if row.sweep is None:
            yield Curve(row.label, True, {}, published)
            continue
        try:
            trials = {k: t for c in builder.paper.columns for k, t in builder.trials(row, c).items()}
        except UnknownChoice as error:
            lacking = str(error).partition(":")[0]
            yield Curve(row.label, False, {}, published, [f"{row.label}: this version has no {lacking}"])
            continue
        yield _curve(builder, name, row, list(trials.values()), published, measure)


def _curve(
    builder: Builder,
    name: str,
    row: Row,
    trials: Sequence[Trial],
    published: Mapping[str, Summary],
    measure: str,
) -> Curve:
    """Measure a row; of several settings, the last column's metric chooses."""
    metric, rule = builder.paper.columns[-1].metric, builder.rule_for(row)
    candidates = settings([read(trial, builder.results, rule, metric) for trial in trials])
    fill, rerun = builder.command(name), builder.command(name, "rerun=failed")
    notes = status_notes(candidates, rule, metric, fill, rerun)
    chosen = choose(candidates, rule, metric)
    if chosen and len(candidates) > 1:
        notes.insert(0, setting_note(chosen, candidates, rule))
    remarks = [f"{row.label}: {note.text}" + (f": {note.command}" if note.command else "") for note in notes]
    if chosen is None:
        return Curve(row.label, False, {}, published, remarks)
    own = [reading.trial for reading in chosen.readings]
    scale = 100.0 if measure == "accuracy" else 1.0
    measured = {}
    for environment in _environments(builder, own, rule):
        readings = [read(trial, builder.results, rule, f"test/{environment}/{measure}") for trial in own]
        values = [scale * reading.value for reading in readings if reading.value is not None]
        if values:
            measured[environment] = summarize(values)
    return Curve(row.label, False, measured, published, remarks)


def _environments(builder: Builder, trials: Sequence[Trial], rule: str) -> list[str]:
    found: dict[str, None] = {}
    for trial in trials:
        metrics = (builder.results.of(trial.id) or {}).get("metrics", {})
        found.update(dict.fromkeys(metrics.get(rule, {}).get("scores", {}).get("test", {})))
    return list(found)


def _published(builder: Builder, row: Row, measure: str) -> dict[str, Summary]:
    found = {}
    for index, column in enumerate(builder.paper.columns):
        split, environment, own = parts(column.metric)
        summary = builder.published(row, index)
        if split == "test" and own == measure and summary:
            found[environment] = summary
    return found
