"""From a paper's trials to the lines of its figure: what is measured of each row, by place on the horizontal axis."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.histories import history
from irm_sweeps.analysis.notes import mixture_notes, setting_note, status_notes
from irm_sweeps.analysis.readings import Setting, choose, read, settings
from irm_sweeps.analysis.statistics import Summary, summarize
from irm_sweeps.analysis.table_builder import Builder
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Figure, Row
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Curve:
    """One row of the paper file. Means and sds are in the unit that is drawn: per cent for accuracies.

    Attributes
    ----------
    reference
        Whether there is nothing to measure: chance level, say, or the optimum.
    measured, published
        By place: test environment, value of the config, step or column; empty where there is nothing.
    remarks
        What was left out, and which setting is shown.
    panel
        Title of the panel it is drawn in; None: the only one, or all.
    """

    label: str
    reference: bool
    measured: Mapping[str, Summary]
    published: Mapping[str, Summary]
    remarks: Sequence[str] = ()
    panel: str | None = None


Found = tuple[Mapping[str, Summary], Sequence[str]]
"""What is measured of a row by place, and remarks."""


def curves(builder: Builder, figure: Figure) -> list[Curve]:
    """Return a curve for every row, even if there is nothing of it to draw.

    Raises
    ------
    UserError
        The figure asks for something that the trials do not have.
    """
    from irm_sweeps.errors import UnknownChoice

    places = _places(builder, figure)
    found = []
    for name, row in builder.paper.shown.items():
        published = _published(builder, row, places)
        measured: Mapping[str, Summary] = {}
        remarks: Sequence[str] = []
        if row.sweep is not None:
            try:
                measured, remarks = _KINDS[figure.kind](builder, name, row, figure, places)
            except UnknownChoice as error:
                remarks = [f"{row.label}: this version has no {str(error).partition(':')[0]}"]
        found.append(Curve(row.label, row.sweep is None, measured, published, remarks, row.panel))
    return found


def named(builder: Builder, figure: Figure) -> Figure:
    """Return the figure with a name for the axis of environments: `p_e` where that is what the datasets' names are."""
    from irm_sweeps.errors import UnknownChoice

    if figure.kind != "environments" or figure.x_label is not None:
        return figure
    datasets = []
    for row in builder.paper.shown.values():
        for column in builder.paper.columns if row.sweep is not None else []:
            with contextlib.suppress(UnknownChoice):
                datasets.append(next(iter(builder.trials(row, column).values())).dataset)
    if datasets and all("test_p_e" in type(dataset).model_fields for dataset in datasets):
        return figure.model_copy(update={"x_label": "$p_e$ of the test environment"})
    return figure


def _places(builder: Builder, figure: Figure) -> list[str | None]:
    """Return where each column stands; None for one that has no place of its own."""
    columns = builder.paper.columns
    if figure.kind == "bars":
        return [column.label for column in columns]
    if figure.kind == "number":
        return [_number(builder, i, str(figure.x)) for i in range(len(columns))]
    split_environment_measure = [parts(column.metric) for column in columns]
    return [
        environment if figure.kind == "environments" and (split, measure) == (figure.split, figure.metric) else None
        for split, environment, measure in split_environment_measure
    ]


def _number(builder: Builder, index: int, key: str) -> str | None:
    """Return the value that a config key has in all trials of a column."""
    from irm_sweeps.errors import UnknownChoice, UserError

    column = builder.paper.columns[index]
    values: set[Any] = set()
    for row in builder.paper.shown.values():
        if row.sweep is None:
            continue
        try:
            values |= {reduce(getattr, key.split("."), trial) for trial in builder.trials(row, column).values()}
        except UnknownChoice:
            continue
        except AttributeError:
            raise UserError(
                f"figure.x={key} of {builder.paper.name}: the trials of {row.label} have no such key"
            ) from None
    if len(values) > 1 or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise UserError(
            f"figure.x={key} of {builder.paper.name}: column {column.label} has the values "
            f"{', '.join(sorted(map(str, values)))}: it needs one number"
        )
    return f"{values.pop():g}" if values else None


def _published(builder: Builder, row: Row, places: Sequence[str | None]) -> dict[str, Summary]:
    cells = {place: builder.published(row, i) for i, place in enumerate(places) if place is not None}
    return {place: summary for place, summary in cells.items() if summary}


def _chosen(builder: Builder, name: str, row: Row) -> tuple[Setting | None, list[str]]:
    """Return the setting that speaks for a row, by the metric of the last column, and remarks."""
    trials = {i: t for column in builder.paper.columns for i, t in builder.trials(row, column).items()}
    metric, rule = builder.paper.columns[-1].metric, builder.rule_for(row)
    candidates = settings([read(trial, builder.results, rule, metric) for trial in trials.values()])
    fill, rerun = builder.command(name), builder.command(name, "rerun=failed")
    notes = status_notes(candidates, rule, metric, fill, rerun)
    chosen = choose(candidates, rule, metric)
    if chosen and len(candidates) > 1:
        notes.insert(0, setting_note(chosen, candidates, rule))
    if chosen:
        notes += mixture_notes(chosen, builder.results, partial(builder.command, name))
    return chosen, [f"{row.label}: {note.text}" + (f": {note.command}" if note.command else "") for note in notes]


def _over_environments(builder: Builder, name: str, row: Row, figure: Figure, places: Sequence[str | None]) -> Found:
    """Measure every environment of the split that the trials have, not only those of the columns."""
    del places
    chosen, remarks = _chosen(builder, name, row)
    if chosen is None:
        return {}, remarks
    rule, own = builder.rule_for(row), [reading.trial for reading in chosen.readings]
    scale = 100.0 if figure.metric == "accuracy" else 1.0
    measured = {}
    for environment in _environments(builder, own, rule, figure.split):
        metric = f"{figure.split}/{environment}/{figure.metric}"
        readings = [read(trial, builder.results, rule, metric) for trial in own]
        values = [scale * reading.value for reading in readings if reading.value is not None]
        if values:
            measured[environment] = summarize(values)
    return measured, remarks


def _environments(builder: Builder, trials: Sequence[Trial], rule: str, split: str) -> list[str]:
    found: dict[str, None] = {}
    for trial in trials:
        found.update(dict.fromkeys(builder.results.scores(trial.id, rule).get(split, {})))
    return list(found)


def _over_columns(builder: Builder, name: str, row: Row, figure: Figure, places: Sequence[str | None]) -> Found:
    """Take each column's cell."""
    del figure
    measured, remarks = {}, []
    for i, (column, place) in enumerate(zip(builder.paper.columns, places, strict=True)):
        cell = builder.cell(name, row, i)
        if cell.measured is not None and place is not None:
            measured[place] = cell.measured
        remarks += [
            f"{row.label}, {column.label}: {note.text}" + (f": {note.command}" if note.command else "")
            for note in cell.notes
        ]
    return measured, remarks


def _over_steps(builder: Builder, name: str, row: Row, figure: Figure, places: Sequence[str | None]) -> Found:
    """Take what was logged at each step."""
    del places
    chosen, remarks = _chosen(builder, name, row)
    values: dict[int, list[float]] = {}
    for reading in chosen.readings if chosen else []:
        if reading.value is None:
            continue
        logged, others = history(builder.stores, reading.trial.id, str(figure.quantity), builder.results.problems)
        if not logged:
            has = ", ".join(others) or "nothing"
            remarks.append(f"{row.label}: trial {reading.trial.id} has no {figure.quantity} in its history (has {has})")
        for step, value in logged.items():
            values.setdefault(step, []).append(value)
    return {str(step): summarize(values[step]) for step in sorted(values)}, remarks


_KINDS: dict[str, Callable[[Builder, str, Row, Figure, Sequence[str | None]], Found]] = {
    "environments": _over_environments,
    "number": _over_columns,
    "history": _over_steps,
    "bars": _over_columns,
}
"""How each kind of figure measures a row; `plots.KINDS` says how it is drawn."""
