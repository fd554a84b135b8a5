"""The picture of accuracy under shift against accuracy in distribution, a point for each trial, on probit axes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures.drawing import STYLE, add_caption, file_of, literal
from irm_sweeps.analysis.figures.metrics import PanelMetric
from irm_sweeps.analysis.figures.plots import COLOURS, MARKERS
from irm_sweeps.analysis.figures.series import Series, told_apart
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.statistics.accuracy_line import FEWEST, Line, line, probit
from irm_sweeps.errors import UserError
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TICKS = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
"""Accuracies in per cent that the axes name."""

MOST_PANELS = 4
"""Most data sets in one picture."""

Points = dict[str, list[tuple[float, float, str]]]
"""Accuracies of each trial, [0, 1], in distribution and under shift, and what tells its setting, by series."""


def points(series: Sequence[Series], results: Results, inside: PanelMetric, shifted: PanelMetric) -> dict[str, Points]:
    """Return the points of all trials that have both accuracies, by data set: a line through several says nothing.

    Raises
    ------
    UserError
        The trials are regressions, which have no accuracy, or of more than `MOST_PANELS` data sets.
    """
    from irm_sweeps.sweep.labels import setting_of

    trials = [trial for one in series for trial in one.trials]
    datasets = dict(zip((t.id for t in trials), told_apart(trials, ("dataset",)), strict=True))
    names = list(dict.fromkeys(datasets.values()))
    if len(names) > MOST_PANELS:
        raise UserError(
            f"--curves line: the trials are of {len(names)} data sets ({'; '.join(names[:MOST_PANELS])}; ...), and "
            f"each needs a line of its own: restrict them to {MOST_PANELS}, by --sweep NAME or the overrides of a sweep"
        )
    found: dict[str, Points] = {}
    for one in series:
        for trial in one.trials:
            if trial.dataset.is_regression:
                raise UserError("--curves line: a regression has no accuracy; it is for classification")
            scores = results.scores(trial.id, one.rule)
            x, y = inside.value(trial, scores), shifted.value(trial, scores)
            if x is not None and y is not None:
                setting = json.dumps(setting_of(trial), sort_keys=True)
                panel = found.setdefault(datasets[trial.id], {})
                panel.setdefault(one.label, []).append((x / 100, y / 100, setting))
    return found


def fit_of(panel: Points) -> Line | None:
    """Return the line through all trials of a data set; None without one."""
    return line(*zip(*(point for each in panel.values() for point in each), strict=True))


def draw(
    found: dict[str, Points], titles: Sequence[str], rules: str, title: str, file_format: str, setting: str = ""
) -> bytes:
    """Return the bytes of a `png`, `pdf` or `svg` file, with a panel for each data set.

    Parameters
    ----------
    rules
        At which step trials are scored.
    setting
        What all trials have in common.

    Raises
    ------
    UserError
        There is no trial.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if not found:
        raise UserError("--curves line: no trial has an accuracy in distribution and under shift yet")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(found) + 0.8, 5.2), layout="constrained")
        sentences = []
        labels = list(dict.fromkeys(label for panel in found.values() for label in panel))
        for axes, (name, panel) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
            text = _panel(axes, panel, titles, labels)
            axes.set_title(literal(name))
            sentences.append(f"{literal(name)}: {text}." if name else f"{text[0].upper()}{text[1:]}.")
        figure.suptitle("\n".join(textwrap.wrap(literal(setting), int(17 * figure.get_figwidth()))), fontsize=8)
        add_caption(figure, " ".join([*sentences, rules]))
        return file_of(figure, title, file_format)


def _panel(axes: Axes, panel: Points, titles: Sequence[str], labels: Sequence[str]) -> str:
    """Draw the trials of one data set, and return what their line says."""
    pairs = [(x, y) for each in panel.values() for x, y, _ in each]
    for label, each in panel.items():
        i = labels.index(label)
        xs, ys = ([probit(value) for value in side] for side in list(zip(*each, strict=True))[:2])
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 4,
        }
        axes.plot(xs, ys, linestyle="none", alpha=0.8, label=literal(label), **style)
    fit = fit_of(panel)
    if fit:
        ends = [probit(min(x for x, _ in pairs)), probit(max(x for x, _ in pairs))]
        axes.plot(ends, [fit.slope * x + fit.intercept for x in ends], color="#444444", linewidth=1)
    sides = [[probit(value) for value in side] for side in zip(*pairs, strict=True)]
    for axis, name, side in zip((axes.xaxis, axes.yaxis), titles, sides, strict=True):
        low, high = min(side) - 0.1, max(side) + 0.1
        marked = ticks(low, high)
        axis.set_ticks([probit(tick / 100) for tick in marked], [f"{tick:g}" for tick in marked])
        axis.set_view_interval(low, high, ignore=True)
        axis.set_label_text(f"{literal(name)}, accuracy (%)")
    axes.legend(fontsize=8)
    return said(fit, len(pairs))


def ticks(low: float, high: float) -> list[float]:
    """Return accuracies in % to mark on an axis from probit `low` to `high`, at least two."""
    from matplotlib.ticker import MaxNLocator
    from scipy.special import ndtr

    ends = [100 * float(ndtr(end)) for end in (low, high)]
    usual = [float(tick) for tick in _TICKS if ends[0] <= tick <= ends[1]]
    return usual if len(usual) > 1 else [t for t in MaxNLocator(4).tick_values(*ends) if ends[0] <= t <= ends[1]]


def said(fit: Line | None, n: int) -> str:
    """Return slope and correlation of the line, and what they say of the data set."""
    if fit is None:
        return f"no line through {count(n, 'trial')}: at least {FEWEST} settings with different accuracies are needed"
    slope, r = (f"[{low:.2f}, {high:.2f}]" for low, high in (fit.slope_interval, fit.interval))
    return (
        f"slope {fit.slope:.2f} {slope} and correlation {fit.correlation:.2f} {r} of the probits over {fit.n} trials "
        f"of {fit.settings} settings, with 95 % intervals for which settings are independent, and their seeds are not; "
        f"{fit.in_words}"
    )
