"""How each kind of figure is drawn on its axes: colour, marker and dashes all differ, for grey and the colour-blind.

Lines and markers stand at the places that they are of. Only error bars, which would hide each other, are moved aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures.picture import Curve, Strand
from irm_sweeps.analysis.figures.scales import Range
from irm_sweeps.analysis.statistics.two_means import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), without the yellow, which is lost on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*", "<"]
DASHES: list[Any] = ["-", "--", "-.", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5, 1, 1.5))]
HATCHES = ["", "///", "...", "xxx", "\\\\\\"]
GREY = "#666666"
ENDS = {"running": ">", "stopped": "|", "diverged": "x", "failed": "x"}
"""Why a seed's line ends -> the mark at its end."""

Places = Mapping[str, float]
"""Where on the horizontal axis each place of a curve is."""

Points = tuple[list[float], list[float], list[float]]
"""Where summaries stand, their means and their sds."""


def is_number(name: str) -> bool:
    """Return whether a place is a number."""
    try:
        float(name)
    except ValueError:
        return False
    return True


def points(summaries: Mapping[str, Summary], places: Places) -> Points:
    """Return where summaries stand, from left to right, their means, and their sds, NaN where there is none."""
    placed = [(places[name], summary) for name, summary in summaries.items() if name in places]
    placed.sort(key=lambda point: point[0])
    sds = [math.nan if summary.sd is None else summary.sd for _, summary in placed]
    return [x for x, _ in placed], [summary.mean for _, summary in placed], sds


def error_bars(axes: Axes, curves: Sequence[Curve], places: Places, shown: Range) -> None:
    """Draw a line for each curve at its places, and its error bars side by side with those of the others."""
    step = min(0.15, 0.84 / len(curves)) * _gap(places)
    if places and all(is_number(name) for name in places):
        step = min(step, 0.006 * (max(places.values()) - min(places.values())) or 0.006)
    for i, curve in enumerate(curves):
        shift = (i - (len(curves) - 1) / 2) * step
        x, mean, sd = points(curve.measured, places)
        if x:
            axes.plot(x, shown.on_axis(mean), label=curve.label, **_line(i))
            _bars_of_error(axes, [at + shift for at in x], mean, shown.lengths(mean, sd), i)
        _published(axes, curve, places, shown, i, shift + step / 2)


def bands(axes: Axes, curves: Sequence[Curve], places: Places, shown: Range) -> None:
    """Draw a line in a band of one sd for each curve, and each seed that does not go as far on its own."""
    gap = _gap(places)
    for i, curve in enumerate(curves):
        x, mean, sd = points(curve.measured, places)
        if x:
            few: dict[str, Any] = {"markevery": max(1, len(x) // 8)}
            for part, (at, means, sds) in enumerate(_without_break(x, mean, sd, places)):
                axes.plot(at, shown.on_axis(means), label=None if part else curve.label, **_line(i), **few)
                low, high = zip(*(shown.ends(m, s) for m, s in zip(means, sds, strict=True)), strict=True)
                if len(at) > 1:
                    axes.fill_between(at, low, high, color=_colour(i), alpha=0.18, linewidth=0)
                else:
                    _bars_of_error(axes, at, means, shown.lengths(means, sds), i)
        for strand in curve.strands:
            _strand(axes, strand, places, shown, i, label=None if x else curve.label)
        _published(axes, curve, places, shown, i, 0.0 if is_broken(places) else (i + 1) * 0.02 * gap)


def bars(axes: Axes, curves: Sequence[Curve], places: Places, shown: Range) -> None:
    """Draw a bar for each curve that has a value at a place, side by side about it, and what is published in front."""
    having = {name: [i for i, c in enumerate(curves) if name in c.measured or name in c.published] for name in places}
    width = 0.8 / max((len(group) for group in having.values()), default=1)
    for i, curve in enumerate(curves):
        at = {
            name: places[name] + (group.index(i) - (len(group) - 1) / 2) * width
            for name, group in having.items()
            if i in group
        }
        x, mean, sd = points(curve.measured, at)
        if x:
            axes.bar(
                x,
                mean,
                0.9 * width,
                yerr=shown.lengths(mean, sd),
                label=curve.label,
                color=_colour(i),
                hatch=HATCHES[i % len(HATCHES)],
                edgecolor="white",
                error_kw={"elinewidth": 0.9, "capsize": 2.5, "ecolor": "#222222"},
            )
        _published(axes, curve, at, shown, i, width / 4)
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


def is_broken(places: Places) -> bool:
    """Return whether a place at 0 stands apart, on an axis that is logarithmic."""
    return any(is_number(name) and float(name) == 0 != at for name, at in places.items())


def _without_break(x: list[float], mean: list[float], sd: list[float], places: Places) -> list[Points]:
    """Return the points in one part, or in two where the first stands left of the axis's break."""
    apart = [at for name, at in places.items() if is_number(name) and float(name) == 0 != at]
    if x[0] not in apart or len(x) == 1:
        return [(x, mean, sd)]
    return [(x[1:], mean[1:], sd[1:]), (x[:1], mean[:1], sd[:1])]


def _strand(axes: Axes, strand: Strand, places: Places, shown: Range, i: int, label: str | None) -> None:
    """Draw one seed as a thin line, with a mark where it ends."""
    placed = sorted((places[name], value) for name, value in strand.values.items())
    x, values = [at for at, _ in placed], shown.on_axis([value for _, value in placed])
    style: dict[str, Any] = {**_line(i), "linewidth": 0.7, "marker": "none", "alpha": 0.85}
    axes.plot(x, values, label=label, **style)
    if strand.ending in ENDS:
        axes.plot(x[-1:], values[-1:], color=_colour(i), marker=ENDS[strand.ending], markersize=6, linestyle="none")


def _published(axes: Axes, curve: Curve, places: Places, shown: Range, i: int, shift: float) -> None:
    """Draw hollow markers around those of what is measured, and thin error bars `shift` to the right of them."""
    x, mean, sd = points(curve.published, places)
    if not x:
        return
    if any(not math.isnan(spread) for spread in sd):
        ends = shown.lengths(mean, sd)
        axes.errorbar([at + shift for at in x], mean, ends, fmt="none", ecolor=_colour(i), elinewidth=0.6, zorder=3)
    axes.plot(
        x,
        shown.on_axis(mean),
        label=None if curve.is_drawn else f"{curve.label} (published)",
        **{**_line(i), "linestyle": "none", "markersize": 7, "zorder": 3},
        markerfacecolor="none",
        markeredgewidth=0.9,
    )


def _bars_of_error(axes: Axes, x: Sequence[float], mean: Sequence[float], lengths: Any, i: int) -> None:
    axes.errorbar(x, mean, lengths, fmt="none", ecolor=_colour(i), elinewidth=0.9, capsize=1.5)


def _line(i: int) -> dict[str, Any]:
    return {
        "color": _colour(i),
        "linestyle": DASHES[i % len(DASHES)],
        "linewidth": 1.2,
        "marker": MARKERS[i % len(MARKERS)],
        "markersize": 4,
    }


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _gap(places: Places) -> float:
    """Return the least distance between places."""
    at = sorted(places.values())
    return min((b - a for a, b in pairwise(at)), default=1.0)


KINDS: dict[str, Callable[[Axes, Sequence[Curve], Places, Range], None]] = {
    "environments": error_bars,
    "number": bands,
    "history": bands,
    "bars": bars,
}
"""How each kind of figure is drawn; `paper_figure` says what is measured for it."""
