"""What the axes can show: where places stand, and where the spread about a mean is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures.picture import Curve, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from irm_sweeps.sweep.paper import Figure

_MOST_TICKS = 9
"""Most places of a logarithmic axis that are all named."""

_BOUNDS = {"accuracy": (0.0, 100.0), "pwcca": (0.0, 1.0), "risk": (0.0, math.inf)}
"""Measure -> the least and the greatest value that it can have, as it is drawn."""


@dataclass(frozen=True)
class Range:
    """The values that a vertical axis can show.

    Attributes
    ----------
    lowest, highest
        What the measure can be.
    logarithmic
        Then 0 and less have no place.
    """

    lowest: float = -math.inf
    highest: float = math.inf
    logarithmic: bool = False

    @classmethod
    def of(cls, picture: Picture) -> Range:
        """Return the range of a picture's vertical axes."""
        figure = picture.figure
        of_history = figure.kind == "history" and figure.quantity != picture.measure
        lowest, highest = (-math.inf, math.inf) if of_history else _BOUNDS.get(picture.measure, (-math.inf, math.inf))
        return cls(lowest, highest, figure.log_y)

    def on_axis(self, means: Sequence[float]) -> list[float]:
        """Return means, NaN where the axis cannot show them."""
        return [mean if mean > 0 or not self.logarithmic else math.nan for mean in means]

    def ends(self, mean: float, sd: float) -> tuple[float, float]:
        """Return `mean - sd` and `mean + sd`, cut at what the measure can be.

        A logarithmic axis has no place for a lower end at 0 or below: then the spread is shown above the mean only.
        """
        if self.logarithmic and mean <= 0:
            return math.nan, math.nan
        low = mean - sd
        if self.logarithmic and low <= 0:
            low = mean
        return max(low, min(self.lowest, mean)), min(mean + sd, max(self.highest, mean))

    def lengths(self, means: Sequence[float], sds: Sequence[float]) -> list[list[float]]:
        """Return the error bars below and above each mean."""
        ends = [(mean, *self.ends(mean, sd)) for mean, sd in zip(means, sds, strict=True)]
        return [[mean - low for mean, low, _ in ends], [high - mean for mean, _, high in ends]]

    def is_cut(self, mean: float, sd: float) -> bool:
        """Return whether `mean - sd` or `mean + sd` is beyond the range."""
        return self.has(mean) and self.ends(mean, sd) != (mean - sd, mean + sd)

    def has(self, mean: float) -> bool:
        """Return whether the axis can show a mean."""
        return mean > 0 or not self.logarithmic


def places_of(curves: Sequence[Curve], numbered: bool, logarithmic: bool = False) -> dict[str, float]:
    """Return where each place stands: at its number if all are numbers and `numbered`, else one after the other.

    On a logarithmic axis 0 stands apart, left of all others.
    """
    names = dict.fromkeys(
        name for c in curves for values in (c.measured, c.published, *(s.values for s in c.strands)) for name in values
    )
    try:
        at = {name: float(name) for name in sorted(names, key=float)} if numbered else {}
    except ValueError:
        at = {}
    if not at:
        return {name: float(i) for i, name in enumerate(names)}
    positive = [x for x in at.values() if x > 0]
    if logarithmic and positive:
        decades = math.log10(max(positive) / min(positive))
        slot = min(positive) / 10 ** max(0.3, 0.15 * decades)
        at = {name: x if x > 0 else slot for name, x in at.items()}
    return at


def label_horizontal(axes: Axes, places: dict[str, float], figure: Figure) -> None:
    """Name the axis and its ticks; steps are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    labels = {"environments": "test environment", "number": figure.x or "", "history": "step", "bars": ""}
    axes.set_xlabel(figure.x_label or labels[figure.kind])
    if figure.kind == "history":
        axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10], integer=True))
    else:
        axes.set_xticks(list(places.values()), list(places))
    axes.margins(x=0.04)


def make_horizontal_logarithmic(row: Sequence[Axes], places: dict[str, float], broken: bool) -> None:
    """Make the axis of places logarithmic, with a break between 0, where there is one, and the others."""
    if not any(x > 0 for x in places.values()):
        return
    first, last = math.log10(min(places.values())), math.log10(max(places.values()))
    margin = 0.04 * (last - first) or 1.0
    for axes in row:
        axes.set_xscale("log")
        if len(places) <= _MOST_TICKS:
            axes.set_xticks(list(places.values()), [_as_power(name) for name in places])
        elif broken:
            zero, *others = places
            axes.set_xticks(*_with_powers(places[zero], [places[name] for name in others]))
        axes.minorticks_off()
        axes.set_xlim(10 ** (first - margin), 10 ** (last + margin))
        if broken:
            slot, least = sorted(places.values())[:2]
            _mark_break(axes, math.sqrt(slot * least))


def _with_powers(slot: float, others: Sequence[float]) -> tuple[list[float], list[str]]:
    powers = range(math.ceil(math.log10(min(others)) - 1e-9), math.floor(math.log10(max(others)) + 1e-9) + 1)
    return [slot, *(10.0**power for power in powers)], ["0", *(f"$10^{{{power}}}$" for power in powers)]


def _mark_break(axes: Axes, x: float) -> None:
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    where = axes.get_xaxis_transform()
    axes.text(x, 0, "//", transform=where, ha="center", va="center", fontsize=8, bbox=box, clip_on=False, zorder=5)


def _as_power(name: str) -> str:
    """Return a large power of ten as such, since its zeros would run into its neighbour's."""
    exponent = len(name) - 1
    return f"$10^{{{exponent}}}$" if exponent > 3 and name == f"1{'0' * exponent}" else name


def view_of_means(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Return the vertical range to show where single seeds go far beyond all means, as a diverging one does."""
    ends = [e for c in curves for s in c.measured.values() for e in (s.mean - (s.sd or 0.0), s.mean + (s.sd or 0.0))]
    seeds = [value for curve in curves for strand in curve.strands for value in strand.values.values()]
    if not ends or not seeds:
        return None
    low, high = min(ends), max(ends)
    span = high - low or abs(high) or 1.0
    view = max(low - span, min(low, *seeds)), min(high + span, max(high, *seeds))
    return view if view[0] > min(seeds) or view[1] < max(seeds) else None


def make_vertical_logarithmic(row: Sequence[Axes], curves: Sequence[Curve], shown: Range) -> None:
    """Make the axis logarithmic, over all means and seeds, and a spread down to a tenth of the least of these."""
    summaries = [summary for curve in curves for summary in (*curve.measured.values(), *curve.published.values())]
    values = [summary.mean for summary in summaries if shown.has(summary.mean)]
    values += [v for curve in curves for strand in curve.strands for v in strand.values.values() if shown.has(v)]
    for axes in row:
        axes.set_yscale("log", nonpositive="mask")
        if values:
            ends = [e for s in summaries if shown.has(s.mean) for e in shown.ends(s.mean, s.sd or 0.0)]
            axes.set_ylim(max(min([*ends, *values]) / 1.5, min(values) / 10), max([*ends, *values]) * 1.5)
