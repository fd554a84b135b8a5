"""Draws `docs/figure3.png`: bae2021's Figure 3, measured and published, from the archive of `docs/results/`.

The values are those of `figures --paper bae2021 --figure 3`. Since all methods but one lie within a few points of each
other, a second panel shows these enlarged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from irm_sweeps.analysis.figures import plots
from irm_sweeps.analysis.figures.drawing import STYLE
from irm_sweeps.analysis.figures.paper_figure import paper_picture
from irm_sweeps.analysis.figures.picture import Curve
from irm_sweeps.analysis.figures.scales import Range, places_of
from irm_sweeps.analysis.statistics.two_means import Summary
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.sweep.paper import load_paper

DOCS = Path(__file__).resolve().parents[1]
ARCHIVE, PNG = DOCS / "results" / "bae2021.zip", DOCS / "figure3.png"
ENLARGED = (60.0, 77.0)
"""Accuracies of the second panel, in per cent."""


def curves() -> list[Curve]:
    """Return the measured and published rows of Figure 3, and the rows that need no measuring."""
    return list(paper_picture(Builder(load_paper("bae2021_figure3"), [ARCHIVE], None, [])).curves)


def figure_of(drawn: Sequence[Curve]) -> Figure:
    """Return the figure: all accuracies on the left, those near the invariant optimum on the right."""
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        _draw(axes, drawn)
    left.set_ylabel("test accuracy (%)")
    left.set_ylim(10, 95)
    left.set_title("from the training environments to the shifted one")
    right.set_ylim(*ENLARGED)
    right.set_title(f"{ENLARGED[0]:g} to {ENLARGED[1]:g} %, enlarged")
    handles, labels = left.get_legend_handles_labels()
    hollow = Line2D([], [], color=plots.GREY, marker="o", markersize=7, markerfacecolor="none", linestyle="none")
    figure.legend(
        [*handles, hollow],
        [*labels, "published (Bae et al. 2021)"],
        loc="outside upper center",
        ncols=4,
        title=f"mean ± sd over {_seeds(drawn)} seeds",
        title_fontsize=9,
        handlelength=2.6,
        columnspacing=1.2,
    )
    return figure


def data_of(drawn: Sequence[Curve]) -> str:
    """Return what is drawn as JSON; it stands in the file, so that a test can tell whether the file is up to date."""
    rows = [(curve.label, _numbers(curve.measured), _numbers(curve.published)) for curve in drawn]
    return json.dumps(rows)


def _numbers(summaries: Mapping[str, Summary]) -> dict[str, tuple[float, float, int]]:
    return {name: (round(s.mean, 6), round(s.sd or 0.0, 6), s.n or 0) for name, s in summaries.items()}


def _seeds(drawn: Sequence[Curve]) -> int:
    (n,) = {summary.n or 0 for curve in drawn for summary in curve.measured.values()}
    return n


def _draw(axes: Axes, drawn: Sequence[Curve]) -> None:
    measured, references = ([c for c in drawn if c.reference is kind] for kind in (False, True))
    places = places_of(measured, numbered=True)
    plots.error_bars(axes, measured, places, Range(0, 100))
    for curve in references:
        value = next(iter(curve.published.values())).mean
        axes.axhline(value, color=plots.GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate(curve.label, (places["0.9"], value), va="bottom", ha="right", color=plots.GREY, clip_on=True)
    axes.set_xticks([places["0.1"], places["0.3"], places["0.5"], places["0.7"], places["0.9"]])
    axes.set_xlabel("$p_e$ of the test environment")


def main() -> None:
    """Draw the picture and print its path."""
    with mpl.rc_context({**STYLE, "font.size": 10, "axes.titlesize": 9.5}):
        drawn = curves()
        metadata = {"Title": "bae2021 Figure 3, measured and published", "Comment": data_of(drawn)}
        figure_of(drawn).savefig(PNG, dpi=180, metadata=metadata)
    print(PNG.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
