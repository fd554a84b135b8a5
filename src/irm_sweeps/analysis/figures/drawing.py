"""A drawn figure: panels, axes with units, legend, and the file."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures import plots, scales
from irm_sweeps.analysis.figures.captions import caption
from irm_sweeps.analysis.figures.picture import Curve, Picture
from irm_sweeps.errors import printable
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

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


def draw(picture: Picture, file_format: str) -> bytes:
    """Return the bytes of a `png`, `pdf` or `svg` file; the same picture makes the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return file_of(figure_of(picture), picture.figure.label, file_format)


def figure_of(picture: Picture) -> MplFigure:
    """Return a picture as a figure of matplotlib, to be called and saved in the style `STYLE`."""
    from matplotlib.figure import Figure

    layout, shown = picture.figure, scales.Range.of(picture)
    curves = [with_literal_words(curve) for curve in picture.curves]
    panels = list(dict.fromkeys(curve.panel for curve in curves if curve.panel is not None))
    beside = picture.side_by_side or max(1, len(panels))
    rows = -(-max(1, len(panels)) // beside)
    width, height = (7.0, 4.2) if beside == 1 else (3.2 * beside + 0.6, 3.9)
    figure = Figure(figsize=(width, height + 2.4 * (rows - 1)), layout="constrained")
    grid = figure.subplots(rows, beside, sharey=True, squeeze=False)
    every: list[Axes] = list(grid.flat)
    numbered = layout.kind != "bars"
    places = scales.places_of(curves, numbered, layout.log_x)
    for axes, panel in zip(every, panels or [""], strict=True):
        own = [curve for curve in curves if curve.panel in (None, panel)]
        plots.KINDS[layout.kind](axes, [curve for curve in own if not curve.reference], places, shown)
        for curve in own:
            if curve.reference:
                plots.reference(axes, curve, places)
        scales.label_horizontal(axes, places, layout)
        axes.set_title(panel)
    for row in grid:
        row[0].set_ylabel(layout.y_label or _vertical_label(layout, picture))
    if layout.log_x:
        scales.make_horizontal_logarithmic(every, places, plots.is_broken(places))
    if layout.log_y:
        scales.make_vertical_logarithmic(every, curves, shown)
    elif view := scales.view_of_means(curves):
        for axes in every:
            axes.set_ylim(*view)
    for axes, panel in zip(every, panels, strict=False):
        if not any(curve.is_drawn or curve.published for curve in curves if curve.panel in (None, panel)):
            axes.set_xticks([])
            axes.text(0.5, 0.5, "nothing measured", transform=axes.transAxes, ha="center", color="#555555")
    add_caption(figure, caption(picture, places, shown))
    _add_legend(figure, every, [curve for curve in curves if not curve.reference], picture.setting)
    return figure


def with_literal_words(curve: Curve) -> Curve:
    """Return a curve whose words, which may be of stored trials, are drawn as they stand: a dollar is no formula."""
    measured = {literal(place): summary for place, summary in curve.measured.items()}
    published = {literal(place): summary for place, summary in curve.published.items()}
    lacks = {literal(place): lack for place, lack in curve.lacks.items()}
    mixed = {literal(place): words for place, words in curve.mixed.items()}
    panel = None if curve.panel is None else literal(curve.panel)
    label = literal(curve.label)
    return replace(curve, label=label, panel=panel, measured=measured, published=published, lacks=lacks, mixed=mixed)


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


def add_caption(figure: Any, text: str) -> None:
    """Write some lines below everything."""
    if text:
        lines = textwrap.wrap(literal(text), int(20 * figure.get_figwidth()))
        make_room(figure, 0.13 * (len(lines) - 2))
        figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left", color="#444444")


def make_room(figure: Any, inches: float) -> None:
    """Make a figure higher, so that what stands around its axes does not squeeze them."""
    figure.set_figheight(figure.get_figheight() + max(0.0, inches))


def _vertical_label(layout: Layout, picture: Picture) -> str:
    if layout.kind == "history":
        return str(layout.quantity)
    return picture.unit if picture.measure == "pwcca" else f"{layout.split} {picture.unit}"


def _add_legend(figure: Any, row: Sequence[Axes], drawn: Sequence[Curve], setting: str) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    labels: list[str] = []
    if len(row) == 1 or _same_lines(drawn):
        named = {label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        labels, handles = list(named), list(named.values())
    else:
        for axes in (one for one in row if one.get_legend_handles_labels()[0]):
            axes.legend(fontsize=8, handlelength=3.2, loc="best")
    for style, label in _signs(drawn):
        handles.append(Line2D([], [], color=plots.GREY, **style))
        labels.append(label)
    counts = sorted({summary.n or 0 for curve in drawn for summary in curve.measured.values()})
    n = f"{counts[0]} to {count(counts[-1], 'seed')}" if len(counts) > 1 else count(counts[0] if counts else 0, "seed")
    means = f"mean ± sd over n = {n}" if counts else "no mean yet: single seeds"
    words = textwrap.wrap(literal(setting), int(17 * figure.get_figwidth()))
    columns = min(4, max(1, len(labels)), _fitting(figure, labels))
    make_room(figure, 0.2 * (len(words) - 1 + -(-len(labels) // columns) - 2))
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=columns,
        title="\n".join([*words, means]),
        title_fontsize=8,
        handlelength=3.2,
        columnspacing=1.4,
    )
    legend.get_title().set_multialignment("center")


def _signs(drawn: Sequence[Curve]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the style and the name of each mark that is no curve's own."""
    if any(curve.published and curve.is_drawn for curve in drawn):
        hollow = {"marker": "o", "markerfacecolor": "none", "markeredgewidth": 0.9, "markersize": 7}
        yield {**hollow, "linestyle": "none"}, "published"
    for ending in dict.fromkeys(strand.ending for curve in drawn for strand in curve.strands):
        if ending in plots.ENDS:
            yield {"marker": plots.ENDS[ending], "linewidth": 0.7, "markersize": 6}, f"one seed, {ending}"


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
