"""The picture of what a search of k settings may expect to report, a panel for each selection rule."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.analysis.figures.drawing import STYLE, add_caption, file_of, literal
from irm_sweeps.analysis.figures.metrics import PanelMetric
from irm_sweeps.analysis.figures.plots import COLOURS, MARKERS
from irm_sweeps.analysis.figures.series import Series
from irm_sweeps.analysis.readings import Results, read
from irm_sweeps.analysis.settings import settings
from irm_sweeps.analysis.statistics.search_budget import expected_best, intervals
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.metric import is_lower_better

RULES = {"val": "val: training-domain validation", "oracle": "oracle: test-domain validation"}
"""The rules that are compared, with their titles."""
DENSE = 10
"""Up to twice this budget every one has a point; then fewer and fewer, so that a thousand settings take seconds."""


@dataclass(frozen=True)
class SearchCurve:
    """The settings of a series of which every seed has a value.

    Attributes
    ----------
    chosen_by, reported
        By setting and seed: what the rule compares, and the metric under shift; accuracies in per cent.
    """

    label: str
    chosen_by: Sequence[Sequence[float]]
    reported: Sequence[Sequence[float]]


def searches(series: Sequence[Series], results: Results, rule: str, shifted: PanelMetric) -> list[SearchCurve]:
    """Return the search of each series with at least two complete settings of equally many seeds."""
    found = []
    for one in series:
        metric = shifted.metrics(one.trials[0], {})[0]
        sign, scale = -1.0 if is_lower_better(metric) else 1.0, 100.0 if metric.endswith("/accuracy") else 1.0
        readings = [read(trial, results, rule, metric) for trial in one.trials]
        by, reported = [], []
        for setting in settings(readings):
            values = [reading.value for reading in setting.readings]
            merits = [r.validation if rule == "val" else r.value and sign * r.value for r in setting.readings]
            if None not in values and None not in merits:
                reported.append([scale * value for value in values if value is not None])
                by.append([merit for merit in merits if merit is not None])
        if len(by) > 1 and len({len(row) for row in by}) == 1:
            found.append(SearchCurve(one.label, by, reported))
    return found


def draw(
    panels: Mapping[str, Sequence[SearchCurve]],
    metric: str,
    unit: str,
    title: str,
    file_format: str,
    setting: str = "",
    versions: str = "",
) -> bytes:
    """Return the bytes of a `png`, `pdf` or `svg` file.

    Parameters
    ----------
    panels
        By selection rule, of `RULES`: the searches of all series.
    metric, unit
        What is reported, and what an axis of it is called.
    versions
        The caption's sentence on the versions of this package that made the trials, where there are several.

    Raises
    ------
    UserError
        No series has two complete settings.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = {rule: found for rule, found in panels.items() if found}
    if not shown:
        raise UserError(
            "--curves budget: no method has two settings with a value of every seed; sweep one, e.g. lam=1,10,100"
        )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(shown) + 1.0, 3.9), layout="constrained")
        row = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (rule, found) in zip(row, shown.items(), strict=True):
            for i, search in enumerate(found):
                _curve(axes, search, i)
            axes.set_title(RULES[rule])
            axes.set_xlabel("settings tried")
            axes.legend(fontsize=8)
        row[0].set_ylabel(textwrap.fill(f"expected {unit} of the chosen setting", 34))
        figure.suptitle("\n".join(textwrap.wrap(literal(setting), int(17 * figure.get_figwidth()))), fontsize=8)
        lacking = [name for name in RULES if name not in shown]
        add_caption(
            figure,
            f"Metric {metric} of the setting that is best among k drawn "
            "from those at hand (Dodge et al. 2019); bands: 95 % bootstrap intervals over seeds, each sample with its "
            "own choice; of few seeds they are too narrow."
            + (f" Nothing is stored for {', '.join(lacking)}." if lacking else "")
            + (f" {versions}." if versions else ""),
        )
        return file_of(figure, title, file_format)


def _curve(axes: Any, search: SearchCurve, i: int) -> None:
    from matplotlib.ticker import MaxNLocator

    by, reported = ([sum(row) / len(row) for row in rows] for rows in (search.chosen_by, search.reported))
    budgets = shown_budgets(len(by))
    style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "markersize": 4}
    axes.plot(budgets, [expected_best(by, reported, k) for k in budgets], label=literal(search.label), **style)
    if len(search.chosen_by[0]) > 1:
        bounds = intervals(search.chosen_by, search.reported, budgets)
        axes.fill_between(budgets, *zip(*bounds, strict=True), color=style["color"], alpha=0.15, linewidth=0)
    if len(by) <= 12:
        axes.set_xticks(budgets)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10], integer=True))


def shown_budgets(most: int) -> list[int]:
    """Return the budgets at which a curve has a point: all up to twice `DENSE`, then in steps of about a tenth."""
    budgets = [1]
    while budgets[-1] < most:
        budgets.append(min(most, budgets[-1] + max(1, budgets[-1] // DENSE)))
    return budgets
