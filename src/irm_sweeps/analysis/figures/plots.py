"""How each kind of figure is drawn on its axes: colour, marker and dashes all differ, for grey and the colour-blind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures.picture import Curve
from irm_sweeps.analysis.statistics import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), without the yellow, which is lost on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*", "<"]
DASHES: list[Any] = ["-", "--", "-.", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5, 1, 1.5))]
HATCHES = ["", "///", "...", "xxx", "\\\\\\"]
GREY = "#666666"

Places = Mapping[str, float]
"""Where on the horizontal axis each place of a curve is."""


def places_of(curves: Sequence[Curve], numbered: bool) -> dict[str, float]:
    """Return where each place stands: at its number if all are numbers and `numbered`, else one after the other."""
    names = dict.fromkeys(name for curve in curves for name in (*curve.measured, *curve.published))
    if numbered and all(is_number(name) for name in names):
        return {name: float(name) for name in sorted(names, key=float)}
    return {name: float(i) for i, name in enumerate(names)}


def is_number(name: str) -> bool:
    """Return whether a place is a number."""
    try:
        float(name)
    except ValueError:
        return False
    return True


def points(summaries: Mapping[str, Summary], places: Places) -> tuple[list[float], list[float], list[float]]:
    """Return where summaries stand, from left to right, their means, and their sds, 0 where there is none."""
    placed = [(places[name], summary) for name, summary in summaries.items() if name in places]
    placed.sort(key=lambda point: point[0])
    return [x for x, _ in placed], [summary.mean for _, summary in placed], [summary.sd or 0.0 for _, summary in placed]


def error_bars(axes: Axes, curves: Sequence[Curve], places: Places) -> None:
    """Draw a line with error bars for each curve, side by side, and half a step to the right what is published.

    Where places are numbers the curves stand a hundredth of the axis apart, so that a point is read at its number.
    """
    step = 0.1 if not any(curve.published for curve in curves) else min(0.15, 0.84 / len(curves))
    step *= _gap(places)
    if places and all(is_number(name) for name in places):
        step = min(step, 0.01 * (max(places.values()) - min(places.values())) or 0.01)
    for i, curve in enumerate(curves):
        shift = (i - (len(curves) - 1) / 2) * step
        x, mean, sd = points(curve.measured, places)
        if x:
            line = {"linestyle": DASHES[i % len(DASHES)], "linewidth": 1.2, "label": curve.label}
            axes.errorbar([at + shift for at in x], mean, sd, **line, **_marker(i))
        _published(axes, curve, places, shift + step / 2, i)


def bands(axes: Axes, curves: Sequence[Curve], places: Places) -> None:
    """Draw a line in a band of one sd for each curve; few enough points have markers."""
    gap = _gap(places)
    for i, curve in enumerate(curves):
        x, mean, sd = points(curve.measured, places)
        if x:
            colour = COLOURS[i % len(COLOURS)]
            line: dict[str, Any] = {"color": colour, "linewidth": 1.2, "linestyle": DASHES[i % len(DASHES)]}
            marker: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4}
            axes.plot(x, mean, label=curve.label, **line, **marker, markevery=max(1, len(x) // 8))
            low, high = ([m + sign * s for m, s in zip(mean, sd, strict=True)] for sign in (-1, 1))
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        _published(axes, curve, places, (i + 1) * 0.04 * gap, i)


def bars(axes: Axes, curves: Sequence[Curve], places: Places) -> None:
    """Draw a bar for each curve in the group of each place, and what is published in front of it."""
    width = 0.8 / len(curves)
    for i, curve in enumerate(curves):
        shift = (i - (len(curves) - 1) / 2) * width
        x, mean, sd = points(curve.measured, places)
        if x:
            axes.bar(
                [at + shift for at in x],
                mean,
                0.9 * width,
                yerr=sd,
                label=curve.label,
                color=COLOURS[i % len(COLOURS)],
                hatch=HATCHES[i % len(HATCHES)],
                edgecolor="white",
                error_kw={"elinewidth": 0.9, "capsize": 2.5, "ecolor": "#222222"},
            )
        _published(axes, curve, places, shift + width / 4, i)
    axes.grid(visible=False, axis="x")


def reference(axes: Axes, curve: Curve, places: Places) -> None:
    """Draw a row that nobody measures, such as chance level: a thin line with its name at the right."""
    x, mean, _ = points(curve.published, places)
    if not x:
        return
    if len(set(mean)) == 1:
        axes.axhline(mean[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    else:
        axes.plot(x, mean, color=GREY, linewidth=0.9, zorder=1)
    where = axes.get_yaxis_transform()
    axes.text(1.01, mean[-1], curve.label, transform=where, color=GREY, va="center", fontsize=8)


def _published(axes: Axes, curve: Curve, places: Places, shift: float, i: int) -> None:
    """Draw open markers."""
    x, mean, sd = points(curve.published, places)
    if not x:
        return
    small = {"markersize": 3.6, "elinewidth": 0.6, "capsize": 0, "zorder": 3}
    axes.errorbar(
        [at + shift for at in x],
        mean,
        sd,
        linestyle="none",
        markerfacecolor="white",
        markeredgewidth=0.9,
        label=None if curve.measured else f"{curve.label} (published)",
        **{**_marker(i), **small},
    )


def _marker(i: int) -> dict[str, Any]:
    return {
        "color": COLOURS[i % len(COLOURS)],
        "marker": MARKERS[i % len(MARKERS)],
        "markersize": 4,
        "capsize": 1.8,
        "elinewidth": 0.9,
    }


def _gap(places: Places) -> float:
    """Return the least distance between places."""
    at = sorted(places.values())
    return min((b - a for a, b in pairwise(at)), default=1.0)


KINDS: dict[str, Callable[[Axes, Sequence[Curve], Places], None]] = {
    "environments": error_bars,
    "number": bands,
    "history": bands,
    "bars": bars,
}
"""How each kind of figure is drawn; `paper_figure` says what is measured for it."""
