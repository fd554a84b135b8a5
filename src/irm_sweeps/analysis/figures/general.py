"""The general pictures: over the penalty weight, over training, and as a heat map of methods and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from irm_sweeps.analysis.figures.measuring import Measuring, of_cells
from irm_sweeps.analysis.figures.metrics import one_measure, unit
from irm_sweeps.analysis.figures.paper_figure import lacks_of
from irm_sweeps.analysis.figures.picture import Curve, Picture
from irm_sweeps.analysis.figures.series import Series
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.sweep.labels import in_common
from irm_sweeps.sweep.paper import Figure

_SCORED = "each trial is scored {step}"


def lam_picture(measuring: Measuring, title: str) -> Picture:
    """Return each series over the penalty weight."""
    curves, label = measuring.over_lam(), measuring.unit
    figure = Figure(label=title, kind="number", x="lam", x_label="penalty weight lam", y_label=label, log_x=True)
    return _picture(measuring, figure, curves, measuring.caption(_SCORED))


def training_picture(measuring: Measuring, title: str, quantity: str | None = None, *, log_y: bool = False) -> Picture:
    """Return each series over training: its evaluations, or a logged quantity."""
    curves, measure = measuring.over_steps(quantity), measuring.measure
    label = quantity or measuring.unit
    figure = Figure(label=title, kind="history", quantity=quantity or measure, y_label=label, log_y=log_y)
    return _picture(measuring, figure, curves, measuring.caption("every step is shown"))


def heatmap_picture(measuring: Measuring, title: str) -> Picture:
    """Return a row for each method and a column for each backbone and dataset."""
    curves, tasks = measuring.over_tasks(), list(dict.fromkeys(series.task for series in measuring.series))
    return replace(_picture(measuring, Figure(label=title), curves, measuring.caption(_SCORED)), columns=tasks)


def setting_of(series: Sequence[Series]) -> str:
    """Return what all trials have in common of data set, backbone, optimizer, steps and batch, as it is typed."""
    return in_common([trial for one in series for trial in one.trials])


def _picture(measuring: Measuring, figure: Figure, curves: Sequence[Curve], caption: str) -> Picture:
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    tasks = len({series.task for series in measuring.series}) if measuring.by_task else 1
    beside = len(panels) // tasks if tasks > 1 else 0
    setting = setting_of(measuring.series)
    return Picture(figure, curves, measuring.measure, measuring.unit, caption, setting=setting, side_by_side=beside)


def table_picture(builder: Builder) -> Picture:
    """Return a paper's table as a heat map, without the rows that cannot be measured.

    Raises
    ------
    UserError
        Its columns are not all of one measure.
    """
    table = builder.table()
    measure = one_measure(column.metric for column in builder.paper.columns)
    rows = [(label, cells) for label, cells in table.rows if any(cell.state or cell.measured for cell in cells)]
    lacks = {row.label: lacks_of(builder, row, table.columns) for row in builder.paper.shown.values() if row.sweep}
    curves = [of_cells(label, cells, table.columns, lacks.get(label)) for label, cells in rows]
    caption = " ".join(line for line in table.footer if line.startswith(("Selection rule", "Row ", "Of several")))
    caption += f" {builder.versions()}." if builder.versions() else ""
    figure, label = Figure(label=builder.paper.title), unit(measure, builder.every_trial())
    return Picture(figure, curves, measure, label, caption, table.columns)
