"""Draws `docs/side_information.png`: the side information of Colored MNIST, and the two-bit environments.

Both need no file: python docs/generate/side_picture.py
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from data_strip import INKS, LABEL_COLOURS, MARKERS, STYLE, cells, dataset_of, encoded
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irm_sweeps.data.dataset import Array
from irm_sweeps.errors import one_line_errors

PNG = Path(__file__).resolve().parents[1] / "side_information.png"
SHOWN = 22
"""Images in the strip."""
WINDOW = 200
"""Images over which the rate at which colour tells the label is taken."""


def colored_mnist(side: str) -> tuple[Array, Array, Array]:
    """Return z `[n]`, whether the colour tells the label `[n]` and the images `[n, 14, 14, 3]` of the training set."""
    dataset: Any = dataset_of("dataset=colored_mnist", "dataset.source=embedded", f"dataset.side={side}")
    data = dataset.draw(0, Path())
    assert data.side is not None
    channels = np.concatenate([np.asarray(x).reshape(-1, 2, 14, 14) for x in data.inputs])
    labels = np.concatenate([np.asarray(y) for y in data.labels])
    tells = channels.sum((2, 3)).argmax(1) == labels
    if tells.mean() < 0.5:
        tells = ~tells
    images = 1 - np.einsum("nchw,ck->nhwk", channels, 1 - INKS).clip(0, 1)
    return np.concatenate([np.asarray(z)[:, 0] for z in data.side]), tells, images


def two_bits() -> list[Array]:
    """Return, for two training environments and the shifted one, counts `[label, first sign, second sign]`."""
    dataset: Any = dataset_of("dataset=two_bit_environments", "backbone.width=4")
    counts = []
    for signs, labels in cells(dataset.draw(0, Path()), dataset.shifted):
        own = np.zeros((2, 2, 2), np.int64)
        np.add.at(own, (labels, *(signs > 0).astype(int).T), 1)
        counts.append(own)
    return counts


def figure_of() -> Figure:
    """Return the picture: side information above, the two-bit environments below."""
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    grid = figure.add_gridspec(3, 3, height_ratios=[0.22, 1, 1.1])
    z, tells, images = colored_mnist("time")
    strip, rate = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[1, :2])
    order = np.linspace(0, len(z) - 1, SHOWN).astype(int)
    strip.imshow(np.concatenate([np.pad(images[i], ((1, 1), (1, 1), (0, 0)), constant_values=1) for i in order], 1))
    strip.set_axis_off()
    strip.set_title("Colored MNIST, dataset.side=time: z is the position among all training images", fontsize=9)
    smooth = np.convolve(tells, np.ones(WINDOW) / WINDOW, "valid")
    rate.plot(z[WINDOW // 2 : WINDOW // 2 + len(smooth)], smooth, color=LABEL_COLOURS[0], linewidth=1.2)
    rate.set(xlim=(0, 1), xlabel="z")
    number, by_environment, _ = colored_mnist("environment")
    bars = figure.add_subplot(grid[1, 2])
    means = [by_environment[number == e].mean() for e in np.unique(number)]
    bars.bar([0, 1], means, width=0.5, color=LABEL_COLOURS[0])
    bars.set(xticks=[0, 1], xlabel="z", xlim=(-0.6, 1.6))
    bars.set_title("side=environment: its number is z", fontsize=9)
    for axes in (rate, bars):
        axes.set(ylim=(0.5, 1), yticks=[0.5, 0.75, 1], yticklabels=["50 %", "75 %", "100 %"])
    rate.set_ylabel("colour tells label")
    titles = ["two bits: 2nd sign tells the label in 75 %", "in 80 %", "shifted: in 10 %"]
    for i, (title, counts) in enumerate(zip(titles, two_bits(), strict=True)):
        _bits(figure.add_subplot(grid[2, i]), counts, with_words=i == 0)
        figure.axes[-1].set_title(title, fontsize=9)
    return figure


def _bits(axes: Axes, counts: Array, *, with_words: bool) -> None:
    """Draw a disc at each pair of signs and label, its area the number of observations."""
    for label in (0, 1):
        for first in (0, 1):
            for second in (0, 1):
                share = counts[label, first, second] / counts.sum()
                style: dict[str, Any] = {"color": LABEL_COLOURS[label], "marker": MARKERS[label], "linewidths": 0}
                axes.scatter(first + 0.22 * (label - 0.5) * 2, second, s=1500 * share, **style)
    axes.set(xlim=(-0.6, 1.6), ylim=(-0.6, 1.6), xticks=[0, 1], yticks=[0, 1])
    axes.set_xticklabels(["-1", "+1"])
    axes.set_yticklabels(["-1", "+1"])
    axes.set_xlabel("first sign (invariant)")
    if with_words:
        axes.set_ylabel("second (spurious)")
        for label in (0, 1):
            axes.scatter([], [], s=24, color=LABEL_COLOURS[label], marker=MARKERS[label], label=f"label {label}")
        axes.legend(loc="center", frameon=False, handletextpad=0.1, fontsize=7.5)


def digest() -> str:
    """Return a digest of what is drawn; it stands in the picture's file."""
    sha256 = hashlib.sha256()
    for side in ("time", "environment"):
        z, tells, _ = colored_mnist(side)
        sha256.update(np.round(z, 4).astype("<f4").tobytes() + tells.astype("<i8").tobytes())
    for counts in two_bits():
        sha256.update(counts.astype("<i8").tobytes())
    return sha256.hexdigest()


def main() -> None:
    """Draw the picture and print its path."""
    with one_line_errors(), mpl.rc_context(STYLE):
        PNG.write_bytes(encoded(figure_of(), digest()))
    print(PNG)


if __name__ == "__main__":
    main()
