"""A drawn figure: panels, axes with units, legend, and the file."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures import plots
from irm_sweeps.analysis.figures.metrics import UNITS
from irm_sweeps.analysis.figures.picture import Curve, Picture
from irm_sweeps.errors import printable
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from irm_sweeps.sweep.paper import Figure as Layout

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "irm_sweeps",
}

_MOST_TICKS = 9
"""Most places of a logarithmic axis that are all named."""


def draw(picture: Picture, file_format: str) -> bytes:
    """Return the bytes of a `png`, `pdf` or `svg` file; the same picture makes the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    layout = picture.figure
    curves = [with_literal_words(curve) for curve in picture.curves]
    panels = list(dict.fromkeys(curve.panel for curve in curves if curve.panel is not None))
    with mpl.rc_context(STYLE):
        size = (7.0, 4.2) if len(panels) < 2 else (3.2 * len(panels) + 0.6, 3.9)
        figure = Figure(figsize=size, layout="constrained")
        row: list[Axes] = list(figure.subplots(1, max(1, len(panels)), sharey=True, squeeze=False)[0])
        places = plots.places_of(curves, numbered=layout.kind != "bars")
        for axes, panel in zip(row, panels or [""], strict=True):
            shown = [curve for curve in curves if curve.panel in (None, panel)]
            plots.KINDS[layout.kind](axes, [curve for curve in shown if not curve.reference], places)
            for curve in shown:
                if curve.reference:
                    plots.reference(axes, curve, places)
            _label_horizontal(axes, places, layout)
            axes.set_title(panel)
        row[0].set_ylabel(layout.y_label or _vertical_label(layout, picture.measure))
        if layout.log_x:
            _make_horizontal_logarithmic(row, places)
        if layout.log_y:
            _make_vertical_logarithmic(row, curves)
        add_caption(figure, picture.caption)
        _add_legend(figure, row, [curve for curve in curves if not curve.reference])
        return file_of(figure, layout.label, file_format)


def with_literal_words(curve: Curve) -> Curve:
    """Return a curve whose words, which may be of stored trials, are drawn as they stand: a dollar is no formula."""
    measured = {literal(place): summary for place, summary in curve.measured.items()}
    published = {literal(place): summary for place, summary in curve.published.items()}
    panel = None if curve.panel is None else literal(curve.panel)
    return replace(curve, label=literal(curve.label), measured=measured, published=published, panel=panel)


def literal(text: str) -> str:
    """Return text that matplotlib draws as it stands."""
    return printable(text).replace("$", r"\$")


def file_of(figure: Any, title: str, file_format: str) -> bytes:
    """Return the bytes of a figure's file, without the time at which it was made."""
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Title": title}
    if file_format in ("pdf", "svg"):
        metadata["CreationDate" if file_format == "pdf" else "Date"] = None
    figure.savefig(buffer, format=file_format, dpi=200, metadata=metadata)
    return buffer.getvalue()


def add_caption(figure: Any, caption: str) -> None:
    """Write some lines below everything."""
    if caption:
        width = int(20 * figure.get_figwidth())
        figure.supxlabel(
            "\n".join(textwrap.wrap(literal(caption), width)), fontsize=7, x=0.01, ha="left", color="#444444"
        )


def _vertical_label(layout: Layout, measure: str) -> str:
    if layout.kind == "history":
        return str(layout.quantity)
    unit = UNITS.get(measure, measure)
    return unit if measure == "pwcca" else f"{layout.split} {unit}"


def _label_horizontal(axes: Axes, places: plots.Places, layout: Layout) -> None:
    labels = {"environments": "test environment", "number": layout.x or "", "history": "step", "bars": ""}
    axes.set_xlabel(layout.x_label or labels[layout.kind])
    if layout.kind != "history":
        axes.set_xticks(list(places.values()), list(places))
    axes.margins(x=0.04)


def _make_horizontal_logarithmic(row: Sequence[Axes], places: plots.Places) -> None:
    """Make the axis of places logarithmic; a place at zero stands left of the others, where the axis is linear."""
    positive = [x for x in places.values() if x > 0]
    for axes in row:
        if len(positive) < len(places) and positive:
            axes.set_xscale("symlog", linthresh=min(positive))
        else:
            axes.set_xscale("log")
        if len(places) <= _MOST_TICKS:
            axes.set_xticks(list(places.values()), [_as_power(name) for name in places])
        axes.minorticks_off()
        scale = axes.xaxis.get_transform()
        first, last = scale.transform([min(places.values()), max(places.values())])
        margin = 0.04 * (last - first) or 1.0
        axes.set_xlim(*scale.inverted().transform([first - margin, last + margin]))


def _as_power(name: str) -> str:
    """Return a large power of ten as such, since its zeros would run into its neighbour's."""
    exponent = len(name) - 1
    return f"$10^{{{exponent}}}$" if exponent > 3 and name == f"1{'0' * exponent}" else name


def _make_vertical_logarithmic(row: Sequence[Axes], curves: Sequence[Curve]) -> None:
    """Make the axis logarithmic over the means; a band that would reach zero goes down to its end."""
    means = [summary.mean for curve in curves for summary in (*curve.measured.values(), *curve.published.values())]
    positive = [mean for mean in means if mean > 0]
    for axes in row:
        axes.set_yscale("log", nonpositive="clip")
        if positive:
            axes.set_ylim(min(positive) / 3, max(positive) * 3)


def _add_legend(figure: Any, row: Sequence[Axes], drawn: Sequence[Curve]) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    labels: list[str] = []
    if len(row) == 1 or _same_lines(drawn):
        named = {label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        labels, handles = list(named), list(named.values())
    else:
        for axes in row:
            axes.legend(fontsize=8, handlelength=3.2, loc="best")
    if any(curve.published and curve.measured for curve in drawn):
        open_marker: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markersize": 4, "linestyle": "none"}
        handles.append(Line2D([], [], color=plots.GREY, **open_marker))
        labels.append("published")
    counts = sorted({summary.n or 0 for curve in drawn for summary in curve.measured.values()})
    most = counts[-1] if counts else 0
    n = f"{counts[0]} to {count(most, 'seed')}" if len(counts) > 1 else count(most, "seed")
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(4, max(1, len(labels)), _fitting(figure, labels)),
        title=f"mean ± sd over n = {n}",
        title_fontsize=8,
        handlelength=3.2,
        columnspacing=1.4,
    )


def _same_lines(drawn: Sequence[Curve]) -> bool:
    """Return whether all panels show the same lines, so that one legend serves them."""
    panels: dict[str | None, list[str]] = {}
    for curve in drawn:
        panels.setdefault(curve.panel, []).append(curve.label)
    return all(labels == next(iter(panels.values())) for labels in panels.values())


def _fitting(figure: Any, labels: Sequence[str]) -> int:
    """Return how many columns of a legend fit beside each other."""
    longest = max((len(label) for label in labels), default=0)
    return max(1, int(15 * figure.get_figwidth() / (longest + 8)))
