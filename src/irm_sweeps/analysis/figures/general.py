"""The general pictures: over the penalty weight, over training, and as a heat map of methods and tasks."""

from __future__ import annotations

from irm_sweeps.analysis.figures.measuring import Measuring, of_cells
from irm_sweeps.analysis.figures.metrics import UNITS, one_measure
from irm_sweeps.analysis.figures.picture import Picture
from irm_sweeps.analysis.table_builder import Builder
from irm_sweeps.sweep.paper import Figure

_SCORED = "each trial is scored {step}"


def lam_picture(measuring: Measuring, title: str) -> Picture:
    """Return each series over the penalty weight."""
    curves, unit = measuring.over_lam(), UNITS[measuring.measure]
    figure = Figure(label=title, kind="number", x="lam", x_label="penalty weight lam", y_label=unit, log_x=True)
    return Picture(figure, curves, measuring.measure, measuring.caption(_SCORED))


def training_picture(measuring: Measuring, title: str, quantity: str | None = None, *, log_y: bool = False) -> Picture:
    """Return each series over training: its evaluations, or a logged quantity."""
    curves, measure = measuring.over_steps(quantity), measuring.measure
    unit = quantity or UNITS[measure]
    figure = Figure(label=title, kind="history", quantity=quantity or measure, y_label=unit, log_y=log_y)
    return Picture(figure, curves, measure, measuring.caption("every step is shown"))


def heatmap_picture(measuring: Measuring, title: str) -> Picture:
    """Return a row for each method and a column for each backbone and dataset."""
    curves, tasks = measuring.over_tasks(), list(dict.fromkeys(series.task for series in measuring.series))
    return Picture(Figure(label=title), curves, measuring.measure, measuring.caption(_SCORED), tasks)


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
    curves = [of_cells(label, cells, table.columns) for label, cells in rows]
    caption = " ".join(line for line in table.footer if line.startswith(("Selection rule", "Row ", "Of several")))
    return Picture(Figure(label=builder.paper.title), curves, measure, caption, table.columns)
