"""Draws `docs/power.svg`: how often each verdict is given, over the number of seeds, by simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irm_sweeps.analysis.statistics.equivalence import MARGIN, compare
from irm_sweeps.analysis.statistics.two_means import summarize

SVG = Path(__file__).resolve().parents[1] / "power.svg"
SEEDS = (3, 4, 5, 6, 8, 10, 14, 20, 30)
TRUTHS = (0.0, 1.0, 2.0, 3.0)
SPREADS = (1.0, 2.5)
PUBLISHED_N, CELLS = 10, 800
COLORS = {"equivalent": "#1b7f4b", "differs": "#c2410c", "undecided": "#8a8f98"}


def shares(spread: float, truth: float, n: int) -> dict[str, float]:
    """Return the share of each verdict among simulated cells of n seeds with a spread and a true difference."""
    rng = np.random.default_rng([int(10 * truth), n])
    ours = rng.normal(truth, spread, (CELLS, n)).tolist()
    theirs = rng.normal(0.0, spread, (CELLS, PUBLISHED_N)).tolist()
    words = [compare(summarize(a), summarize(b)).word for a, b in zip(ours, theirs, strict=True)]
    return {word: words.count(word) / CELLS for word in COLORS}


def main() -> None:
    """Draw the picture: a row of panels for each spread, a column for each true difference."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    panels = figure.subplots(len(SPREADS), len(TRUTHS), sharex=True, sharey=True)
    for row, spread in zip(panels, SPREADS, strict=True):
        for panel, truth in zip(row, TRUTHS, strict=True):
            _draw(panel, [shares(spread, truth, n) for n in SEEDS])
        row[0].set_ylabel(f"sd {spread:g}: cells (%)")
    for panel, truth in zip(panels[0], TRUTHS, strict=True):
        panel.set_title(f"true difference {truth:g}" + (" (the margin)" if truth == MARGIN else ""), fontsize=9)
    for panel in panels[-1]:
        panel.set_xlabel("seeds n")
    panels[0][0].legend(fontsize=8, loc="center right")
    figure.savefig(SVG, metadata={"Date": None})


def _draw(panel: Axes, found: Sequence[Mapping[str, float]]) -> None:
    for word, color in COLORS.items():
        panel.plot(SEEDS, [100 * share[word] for share in found], "o-", color=color, label=word, markersize=3.5)
    panel.set_xscale("log")
    panel.set_xticks([3, 5, 10, 20, 30], ["3", "5", "10", "20", "30"])
    panel.minorticks_off()
    panel.grid(alpha=0.25)


if __name__ == "__main__":
    main()
