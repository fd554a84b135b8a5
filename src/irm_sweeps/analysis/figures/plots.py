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


def points(summaries: Mapping[str, Summary], places: Places) -> list[tuple[float, Summary]]:
    """Return the summaries by where they stand, from left to right."""
    return sorted(((places[name], s) for name, s in summaries.items() if name in places), key=lambda point: point[0])


def error_bars(axes: Axes, methods: Sequence[Curve], places: Places) -> None:
    """Draw a line with error bars for each curve, side by side, and half a step to the right what is published.

    Where places are numbers the curves stand a hundredth of the axis apart, so that a point is read at its number.
    """
    step = 0.1 if not any(curve.published for curve in methods) else min(0.15, 0.84 / len(methods))
    step *= _gap(places)
    if places and all(is_number(name) for name in places):
        step = min(step, 0.01 * (max(places.values()) - min(places.values())) or 0.01)
    for i, curve in enumerate(methods):
        shift = (i - (len(methods) - 1) / 2) * step
        if measured := points(curve.measured, places):
            axes.errorbar(
                [x + shift for x, _ in measured],
                [s.mean for _, s in measured],
                [s.sd or 0.0 for _, s in measured],
                linestyle=DASHES[i % len(DASHES)],
                linewidth=1.2,
                label=curve.label,
                **_marker(i),
            )
        _published(axes, curve, places, shift + step / 2, i)


def bands(axes: Axes, methods: Sequence[Curve], places: Places) -> None:
    """Draw a line in a band of one sd for each curve; few enough points have markers."""
    gap = _gap(places)
    for i, curve in enumerate(methods):
        if measured := points(curve.measured, places):
            x, mean = [x for x, _ in measured], [s.mean for _, s in measured]
            sd = [s.sd or 0.0 for _, s in measured]
            style: dict[str, Any] = {
                "color": COLOURS[i % len(COLOURS)],
                "linewidth": 1.2,
                "linestyle": DASHES[i % len(DASHES)],
            }
            marker: dict[str, Any] = {
                "marker": MARKERS[i % len(MARKERS)],
                "markersize": 4,
                "markevery": max(1, len(x) // 8),
            }
            axes.plot(x, mean, label=curve.label, **style, **marker)
            low, high = ([m + sign * s for m, s in zip(mean, sd, strict=True)] for sign in (-1, 1))
            axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
        _published(axes, curve, places, (i + 1) * 0.04 * gap, i)


def bars(axes: Axes, methods: Sequence[Curve], places: Places) -> None:
    """Draw a bar for each curve in the group of each place, and what is published in front of it."""
    width = 0.8 / len(methods)
    for i, curve in enumerate(methods):
        shift = (i - (len(methods) - 1) / 2) * width
        if measured := points(curve.measured, places):
            axes.bar(
                [x + shift for x, _ in measured],
                [s.mean for _, s in measured],
                0.9 * width,
                yerr=[s.sd or 0.0 for _, s in measured],
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
    published = points(curve.published, places)
    if not published:
        return
    means = [summary.mean for _, summary in published]
    if len(set(means)) == 1:
        axes.axhline(means[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    else:
        axes.plot([x for x, _ in published], means, color=GREY, linewidth=0.9, zorder=1)
    where = axes.get_yaxis_transform()
    axes.text(1.01, means[-1], curve.label, transform=where, color=GREY, va="center", fontsize=8)


def _published(axes: Axes, curve: Curve, places: Places, shift: float, i: int) -> None:
    """Draw open markers."""
    published = points(curve.published, places)
    if not published:
        return
    small = {"markersize": 3.6, "elinewidth": 0.6, "capsize": 0, "zorder": 3}
    axes.errorbar(
        [x + shift for x, _ in published],
        [s.mean for _, s in published],
        [s.sd or 0.0 for _, s in published],
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
