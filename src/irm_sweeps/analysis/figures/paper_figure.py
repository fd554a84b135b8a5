"""A paper's own figure: a curve for each row of the paper file, measured and published, as its `figure` says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures.measuring import Measuring, of_cells
from irm_sweeps.analysis.figures.metrics import named, unit
from irm_sweeps.analysis.figures.picture import Curve, Lack, Picture
from irm_sweeps.analysis.figures.series import of_row
from irm_sweeps.analysis.readings import read
from irm_sweeps.analysis.settings import choose, settings
from irm_sweeps.analysis.tables.builder import Builder, check_choices, lacking
from irm_sweeps.errors import UnknownChoice, UserError
from irm_sweeps.sweep.metric import parts

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Column, Figure, Row
    from irm_sweeps.trial import Trial


def paper_picture(builder: Builder) -> Picture:
    """Return the figure that a paper's file has, with a curve for every row, even if there is nothing of it to draw.

    Raises
    ------
    UserError
        The figure asks for something that the trials do not have, or an override is wrong.
    """
    figure = builder.paper.figure
    assert figure is not None
    check_choices(builder.overrides)
    places = _places(builder, figure)
    curves = []
    for name, row in builder.paper.shown.items():
        cells = {place: builder.published(row, i) for i, place in enumerate(places) if place is not None}
        published = {place: cell for place, cell in cells.items() if cell}
        curve = Curve(row.label, reference=True) if row.sweep is None else _measured(builder, name, row, figure, places)
        curves.append(replace(curve, published=published, panel=row.panel))
    columns = builder.paper.columns
    measure = figure.metric if figure.kind == "environments" else parts(columns[0].metric)[2]
    versions = f"{builder.versions()}." if builder.versions() else ""
    return Picture(_with_axis_name(builder, figure), curves, measure, unit(measure, builder.every_trial()), versions)


def _measured(builder: Builder, name: str, row: Row, figure: Figure, places: Sequence[str | None]) -> Curve:
    if figure.kind in ("number", "bars"):
        cells = [builder.cell(name, row, i) for i in range(len(places))]
        return of_cells(row.label, cells, places, lacks_of(builder, row, places))
    try:
        series = of_row(builder, name)
    except UnknownChoice as error:
        return Curve(row.label, remarks=[f"{row.label}: {lacking(error)}"])
    decides = [named(builder.paper.columns[-1].metric)]
    measuring = Measuring([series], builder.results, decides, mixtures=True)
    if figure.kind == "environments":
        (curve,) = measuring.over_environments(figure.split, figure.metric)
    else:
        (curve,) = measuring.over_steps(figure.quantity)
    return curve


def lacks_of(builder: Builder, row: Row, places: Sequence[str | None]) -> dict[str, Lack]:
    """Return the trials of a row's cells that have no value, by the places of the cells."""
    lacks: dict[str, Lack] = {}
    with contextlib.suppress(UnknownChoice):
        for place, column in zip(places, builder.paper.columns, strict=True):
            trials, rule = builder.trials(row, column).values(), builder.rule_for(row, column)
            readings = [read(trial, builder.results, rule, column.metric) for trial in trials]
            candidates = settings(readings)
            chosen = choose(candidates, rule, column.metric)
            statuses = [r.status for r in (chosen.readings if chosen else readings)]
            if place is not None and (lack := Lack.of(statuses, rule)):
                lacks[place] = lack
    return lacks


def _with_axis_name(builder: Builder, figure: Figure) -> Figure:
    """Name the axis of environments `p_e` where that is what the datasets' environments are named by."""
    if figure.kind != "environments" or figure.x_label is not None:
        return figure
    by_column = [_runnable(builder, column) for column in builder.paper.columns]
    datasets = [trials[0].dataset for rows in by_column for _, trials in rows]
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
    column = builder.paper.columns[index]
    values: set[Any] = set()
    for row, trials in _runnable(builder, column):
        try:
            values |= {reduce(getattr, key.split("."), trial) for trial in trials}
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


def _runnable(builder: Builder, column: Column) -> Iterator[tuple[Row, list[Trial]]]:
    """Yield the rows that this version can measure, and their trials in a column."""
    for row in builder.paper.shown.values():
        if row.sweep is not None:
            with contextlib.suppress(UnknownChoice):
                yield row, list(builder.trials(row, column).values())
