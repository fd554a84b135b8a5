"""A heat map: a row for each method, a column for each backbone, dataset or environment, the mean in each cell."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures.drawing import STYLE, add_caption, file_of, literal, with_literal_words
from irm_sweeps.analysis.figures.picture import Curve, Picture
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = "cividis"
"""Its lightness grows evenly, and the colour-blind see it as others do."""


_EMPTY: dict[str, Any] = {"facecolor": "#F2F2F2", "edgecolor": "#AAAAAA", "hatch": "///", "linewidth": 0}
"""Of a cell without a mean."""
_PAPER: dict[str, Any] = {"facecolor": "#F2F2F2", "edgecolor": "none", "pad": 1.0}
"""Behind the words in it."""


def draw(picture: Picture, file_format: str) -> bytes:
    """Return the bytes of a `png`, `pdf` or `svg` file.

    A cell says mean and sd; where the numbers of seeds differ, also n. A cell without a mean is hatched.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    curves = [with_literal_words(curve) for curve in picture.curves]
    places = [literal(column) for column in picture.columns]
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    rows = max(sum(curve.panel == panel for curve in curves) for panel in panels)
    summaries = [summary for curve in curves for summary in curve.measured.values()]
    means, counts = [s.mean for s in summaries], sorted({s.n or 0 for s in summaries})
    limits = min(means), max(means)
    with mpl.rc_context({**STYLE, "axes.grid": False, "axes.spines.left": False, "axes.spines.bottom": False}):
        width = len(panels) * (1.4 * len(places) + 0.2) + 2.4
        figure = Figure(figsize=(max(5.5, width), 0.52 * rows + 2.2), layout="constrained")
        row: list[Axes] = list(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0])
        for axes, panel in zip(row, panels, strict=True):
            own = [curve for curve in curves if curve.panel == panel]
            image = _cells(axes, own, places, limits, picture.measure, len(counts) > 1)
            axes.set_title(panel or "")
        figure.suptitle("\n".join(textwrap.wrap(literal(picture.setting), int(17 * figure.get_figwidth()))), fontsize=8)
        figure.colorbar(image, ax=row, label=picture.unit, pad=0.02)
        least, most = counts[0], count(counts[-1], "seed")
        n = f"n = {most}" if len(counts) == 1 else f"n = {least} to {most}, as printed"
        add_caption(figure, f"Mean ± sd over {n}; hatched: no value, and why. {picture.caption}")
        return file_of(figure, picture.figure.label, file_format)


def _cells(
    axes: Axes, rows: Sequence[Curve], places: Sequence[str], limits: tuple[float, float], measure: str, with_n: bool
) -> Any:
    """Draw one panel, and return what its colour bar is made from."""
    import numpy as np
    from matplotlib.patches import Rectangle

    values = [[curve.measured[p].mean if p in curve.measured else float("nan") for p in places] for curve in rows]
    image = axes.imshow(values, cmap=_COLOURS, vmin=limits[0], vmax=limits[1], aspect="auto")
    colours = image.to_rgba(np.asarray(values))
    axes.set_yticks(range(len(rows)), [textwrap.fill(curve.label, 26) for curve in rows])
    axes.set_xticks(range(len(places)), [_wrapped(place) for place in places], fontsize=8)
    axes.set_xticks([x + 0.5 for x in range(len(places) - 1)], minor=True)
    axes.set_yticks([y + 0.5 for y in range(len(rows) - 1)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    for y, curve in enumerate(rows):
        for x, place in enumerate(places):
            summary = curve.measured.get(place)
            if summary is None:
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **_EMPTY))
                lack = curve.lacks.get(place)
                why = textwrap.fill(lack.in_short if lack else "not run", 16)
                axes.text(x, y, why, ha="center", va="center", fontsize=7, bbox=_PAPER)
                continue
            digits = 1 if measure == "accuracy" else 3
            text = f"{summary.mean:.{digits}f}"
            if summary.sd is not None:
                text += f"\n± {summary.sd:.{digits}f}"
            if with_n:
                text += f" (n={summary.n})"
            red, green, blue, _ = colours[y, x]
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return image


def _wrapped(place: str) -> str:
    """Return a column's name with a line for each of its fields."""
    return "\n".join(textwrap.fill(word, 24) for word in place.split(", "))
