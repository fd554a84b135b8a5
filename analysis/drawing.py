"""Curves as a picture that is read in grey and by the colour-blind: colour, marker and dashes all differ."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from curves import Curve
from verdict import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), without the yellow, which is lost on white.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*", "<"]
_DASHES: list[Any] = ["-", "--", "-.", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5, 1, 1.5))]
_GREY = "#666666"

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "irm_sweeps",
}


def draw(curves: Sequence[Curve], measure: str, title: str, kind: str) -> bytes:
    """Return the bytes of a `png`, `pdf` or `svg` file; the same curves make the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 4.2), layout="constrained")
        axes = figure.subplots()
        places = _places(curves)
        methods = [curve for curve in curves if not curve.reference]
        step = 0.1 if not any(curve.published for curve in methods) else min(0.15, 0.84 / len(methods))
        step *= _gap(places)
        for i, curve in enumerate(methods):
            _draw_curve(axes, curve, places, (i - (len(methods) - 1) / 2) * step, step, i)
        for curve in curves:
            if curve.reference:
                _draw_reference(axes, curve, places)
        _label(axes, places, measure)
        _add_legend(figure, axes, methods)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"Title": title}
        if kind in ("pdf", "svg"):
            metadata["CreationDate" if kind == "pdf" else "Date"] = None
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
        return buffer.getvalue()


def _places(curves: Sequence[Curve]) -> dict[str, float]:
    """Return where each environment stands: at its number if all are numbers, else one after the other."""
    names = dict.fromkeys(name for curve in curves for name in (*curve.measured, *curve.published))
    try:
        return {name: float(name) for name in sorted(names, key=float)}
    except ValueError:
        return {name: float(i) for i, name in enumerate(names)}


def _gap(places: Mapping[str, float]) -> float:
    """Return the least distance between environments."""
    at = sorted(places.values())
    return min((b - a for a, b in pairwise(at)), default=1.0)


def _draw_curve(axes: Axes, curve: Curve, places: Mapping[str, float], shift: float, step: float, i: int) -> None:
    """Draw what is measured, and half a step to its right what is published."""
    common: dict[str, Any] = {
        "color": _COLOURS[i % len(_COLOURS)],
        "marker": _MARKERS[i % len(_MARKERS)],
        "markersize": 4,
        "capsize": 1.8,
        "elinewidth": 0.9,
    }
    if own := _points(curve.measured, places):
        axes.errorbar(
            [x + shift for x, _ in own],
            [s.mean for _, s in own],
            [s.sd or 0.0 for _, s in own],
            linestyle=_DASHES[i % len(_DASHES)],
            linewidth=1.2,
            label=curve.label,
            **common,
        )
    if theirs := _points(curve.published, places):
        axes.errorbar(
            [x + shift + step / 2 for x, _ in theirs],
            [s.mean for _, s in theirs],
            [s.sd or 0.0 for _, s in theirs],
            linestyle="none",
            markerfacecolor="white",
            markeredgewidth=0.9,
            label=None if own else f"{curve.label} (published)",
            **{**common, "markersize": 3.6, "elinewidth": 0.6, "capsize": 0, "zorder": 3},
        )


def _points(summaries: Mapping[str, Summary], places: Mapping[str, float]) -> list[tuple[float, Summary]]:
    return sorted(((places[name], s) for name, s in summaries.items() if name in places), key=lambda point: point[0])


def _draw_reference(axes: Axes, curve: Curve, places: Mapping[str, float]) -> None:
    """Draw a row that nobody measures, such as chance level: a thin line with its name at the right."""
    points = _points(curve.published, places)
    if not points:
        return
    levels = {summary.mean for _, summary in points}
    if len(levels) == 1:
        axes.axhline(points[0][1].mean, color=_GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    else:
        axes.plot([x for x, _ in points], [s.mean for _, s in points], color=_GREY, linewidth=0.9, zorder=1)
    where = axes.get_yaxis_transform()
    axes.text(1.01, points[-1][1].mean, curve.label, transform=where, color=_GREY, va="center", fontsize=8)


def _label(axes: Axes, places: Mapping[str, float], measure: str) -> None:
    numbers = all(_is_number(name) for name in places)
    axes.set_xlabel("$p_e$ of the test environment" if numbers else "test environment")
    axes.set_ylabel("test accuracy (%)" if measure == "accuracy" else "test risk (nats)")
    axes.set_xticks(list(places.values()), list(places))
    axes.margins(x=0.04)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _add_legend(figure: Any, axes: Axes, drawn: Sequence[Curve]) -> None:
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if any(curve.published and curve.measured for curve in drawn):
        handles.append(Line2D([], [], color=_GREY, marker="o", markerfacecolor="white", markersize=4, linestyle="none"))
        labels.append("published")
    counts = sorted({summary.n or 0 for curve in drawn for summary in curve.measured.values()})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(4, len(labels)),
        title=f"mean ± sd over n = {n} seeds",
        title_fontsize=8,
        handlelength=3.2,
        columnspacing=1.4,
    )
