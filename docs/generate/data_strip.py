"""Draws `docs/data_sets.png`: what each data set shows in two training environments and in the shifted one.

Colored MNIST and the linear unit tests need no file; CIFAR-MNIST and PunctuatedSST-2 are read from `--data-dir`:
python docs/generate/data_strip.py --data-dir data
"""

from __future__ import annotations

import argparse
import hashlib
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from irm_sweeps.compose import compose
from irm_sweeps.data.dataset import Array, Dataset, TrialData
from irm_sweeps.data.punctuated_sst2 import MARKS, without_closing_mark
from irm_sweeps.data.sst2 import load_sst2
from irm_sweeps.draws import Draws
from irm_sweeps.errors import one_line_errors
from irm_sweeps.trial import Trial

PNG = Path(__file__).resolve().parents[1] / "data_sets.png"
IMAGES = 8
"""In a row of images, which all have one label."""
SENTENCES, LONGEST = 4, 30
INKS = np.array([[0, 114, 178], [213, 94, 0]]) / 255
"""In which the two colour channels are drawn: blue and vermilion, which the colour-blind tell apart."""
LABEL_COLOURS = ("#0072B2", "#D55E00")
MARKERS = ("o", "^")
STYLE = {"font.size": 8.5, "svg.fonttype": "none", "axes.linewidth": 0.6, "figure.facecolor": "white"}

Cell = tuple[Array, Array]
"""Inputs and labels of one environment."""


def dataset_of(*overrides: str) -> Dataset:
    """Return the data set that overrides of a trial choose."""
    return Trial.from_config({k: v for k, v in compose(list(overrides)).items() if k in Trial.model_fields}).dataset


def cells(data: TrialData, shifted: str) -> list[Cell]:
    """Return the first and the last training environment, and the shifted test environment."""
    test = data.held_out["test"]
    environment = test.environments[shifted]
    training = [(np.asarray(data.inputs[e]), np.asarray(data.labels[e])) for e in (0, len(data.names) - 1)]
    return [*training, (test.inputs[environment.index], environment.labels)]


def colored_mnist() -> tuple[list[str], list[Cell]]:
    """Return titles and images, `[n, height, width, 3]` in [0, 1], of Colored MNIST."""
    dataset = dataset_of("dataset=colored_mnist", "dataset.source=embedded")
    shown = []
    for inputs, labels in cells(dataset.draw(0, Path()), dataset.shifted):
        ink = np.einsum("nchw,ck->nhwk", inputs.reshape(len(inputs), 2, 14, 14), 1 - INKS)
        shown.append((1 - ink.clip(0, 1), labels))
    return ["colour tells the label in 80 %", "in 90 %", "in 10 %"], shown


def cifar_mnist(data_dir: Path) -> tuple[list[str], list[Cell]]:
    """Return titles and images of CIFAR-MNIST."""
    dataset = dataset_of("dataset=cifar_mnist", "dataset.n_train=400", "dataset.n_test=400", "backbone=resnet18")
    drawn = cells(dataset.draw(0, data_dir), dataset.shifted)
    titles = ["digit tells the label in 99.9 %", "in 80 %", "in 10 %"]
    return titles, [(inputs.transpose(0, 2, 3, 1) / 255, labels) for inputs, labels in drawn]


def punctuated_sst2(data_dir: Path) -> tuple[list[str], list[list[tuple[str, str, int]]]]:
    """Return titles and, for each environment, sentences with mark and noisy label, by the data set's rule."""
    split, draws = load_sst2(data_dir).dev, Draws(0)
    bodies = [" ".join(without_closing_mark(tokens)) for tokens in split.tokens]
    short = [i for i, body in enumerate(bodies) if 12 <= len(body) <= LONGEST]
    if len(short) < 3 * SENTENCES:
        short = list(range(len(bodies)))
    shown = []
    for e, p_e in enumerate((0.2, 0.1, 0.9)):
        rows = short[e * SENTENCES : (e + 1) * SENTENCES]
        label = split.labels[rows] ^ (draws.uniform(f"{e}/label", len(rows)) < 0.25)
        mark = label ^ (draws.uniform(f"{e}/mark", len(rows)) < p_e)
        shown.append([(bodies[row], MARKS[m], int(y)) for row, m, y in zip(rows, mark, label, strict=True)])
    return ["mark tells the label in 80 %", "in 90 %", "in 10 %"], shown


def linear() -> tuple[list[str], list[Cell]]:
    """Return titles and, for each environment, the mean invariant and spurious feature `[n, 2]` of cows and camels."""
    few = ("dataset.n_train=120", "dataset.n_test=120")
    dataset: Any = dataset_of("dataset=linear_unit_tests", "backbone.depth=0", *few)
    split = dataset.d_invariant
    shown = []
    for inputs, labels in cells(dataset.draw(0, Path()), dataset.shifted):
        sides = [inputs[:, :split].mean(1), inputs[:, split:].mean(1)]
        shown.append((np.stack([side / np.abs(side).max() for side in sides], 1), labels))
    return ["place tells the animal in 95 %", "in 99 %", "in no way"], shown


def montage(images: Array, labels: Array, n: int = IMAGES, gap: int = 1) -> Array:
    """Return one image: a row of n images of each label, 0 above 1, with white gaps."""
    rows = []
    for label in (0, 1):
        own = images[labels == label]
        row = own[np.linspace(0, len(own) - 1, n).astype(int)]
        padded = np.pad(row, ((0, 0), (gap, gap), (gap, gap), (0, 0)), constant_values=1.0)
        rows.append(np.concatenate(list(padded), axis=1))
    return np.concatenate(rows, axis=0)


def figure_of(data_dir: Path) -> Figure:
    """Return the picture: a row for each data set, a column for each environment."""
    figure = Figure(figsize=(8.6, 5.7), layout="constrained")
    grid = figure.subplots(4, 3, height_ratios=[0.52, 0.98, 0.9, 1.1])
    heads = ("a training environment", "another one", "the shifted test environment")
    for axes, head in zip(grid[0], heads, strict=True):
        axes.annotate(head, (0.5, 1.5), xycoords="axes fraction", ha="center", fontweight="bold", fontsize=9.5)
    for row, (titles, shown) in zip(grid[:2], (colored_mnist(), cifar_mnist(data_dir)), strict=True):
        for axes, title, (images, labels) in zip(row, titles, shown, strict=True):
            axes.imshow(montage(images, labels), interpolation="nearest")
            axes.set_title(title, fontsize=9)
            axes.set_xticks([])
            axes.spines[:].set_visible(False)
            height = axes.get_ylim()[0]
            axes.set_yticks([0.25 * height, 0.75 * height], ["label 0", "label 1"] if axes is row[0] else ["", ""])
            axes.tick_params(length=0)
    titles, sentences = punctuated_sst2(data_dir)
    for axes, title, lines in zip(grid[2], titles, sentences, strict=True):
        _sentences(axes, lines)
        axes.set_title(title, fontsize=9)
    titles, points = linear()
    for axes, title, (xy, labels) in zip(grid[3], titles, points, strict=True):
        _points(axes, xy, labels)
        axes.set_title(title, fontsize=9)
    grid[3][1].legend(loc="center", frameon=False, handletextpad=0.1)
    grid[3][0].set_ylabel("place (spurious)")
    names = {
        "Colored MNIST": "the digit causes the label in 75\N{NO-BREAK SPACE}%, its colour follows it",
        "CIFAR-MNIST": "the photo causes the label in 90\N{NO-BREAK SPACE}%, the digit follows it",
        "PunctuatedSST-2": "the words cause the label (bold) in 75\N{NO-BREAK SPACE}%, the closing mark follows it",
        "Linear unit tests": "the animal causes the label, its place follows it",
    }
    for row, (name, about) in zip(grid, names.items(), strict=True):
        text = textwrap.fill(about, 20)
        at: dict[str, Any] = {"xycoords": "axes fraction", "ha": "left", "fontsize": 9}
        row[0].annotate(name, (-0.9, 1.0), va="top", fontweight="bold", **at)
        row[0].annotate(f"\n{text}", (-0.9, 1.0), va="top", **at)
    return figure


def _sentences(axes: Axes, lines: Sequence[tuple[str, str, int]]) -> None:
    axes.set_axis_off()
    for i, (body, mark, label) in enumerate(lines):
        y = 1 - (i + 0.5) / len(lines)
        axes.text(0.0, y, str(label), transform=axes.transAxes, va="center", fontweight="bold")
        box = {"facecolor": "#F4E3B5" if mark == MARKS[0] else "#D6E8F3", "edgecolor": "none", "pad": 1.2}
        axes.text(0.08, y, f" {mark} ", transform=axes.transAxes, va="center", fontweight="bold", bbox=box)
        axes.text(0.17, y, textwrap.shorten(body, LONGEST + 2), transform=axes.transAxes, va="center")


def _points(axes: Axes, xy: Array, labels: Array) -> None:
    for label in (0, 1):
        x, y = xy[labels == label].T
        style: dict[str, Any] = {"s": 9, "marker": MARKERS[label], "color": LABEL_COLOURS[label], "linewidths": 0}
        axes.scatter(x, y, alpha=0.75, label=f"label {label}", **style)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("animal (invariant)")


def digest() -> str:
    """Return a digest of what is drawn of the data sets that need no file; it stands in the picture's file."""
    sha256 = hashlib.sha256()
    for _, shown in (colored_mnist(), linear()):
        for values, labels in shown:
            sha256.update(np.round(values, 3).astype("<f4").tobytes() + labels.astype("<i8").tobytes())
    return sha256.hexdigest()


def encoded(figure: Figure, comment: str) -> bytes:
    """Return the bytes of a PNG with a palette, a third of the size of one without, and with a comment."""
    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    image = Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    information = PngInfo()
    information.add_text("Comment", comment)
    image.save(small, format="PNG", optimize=True, pnginfo=information)
    return small.getvalue()


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the picture and print its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="has mnist.npz, cifar10.npz and SST-2")
    parser.add_argument("--output", type=Path, default=PNG)
    options = parser.parse_args(argv)
    with one_line_errors(), mpl.rc_context(STYLE):
        options.output.write_bytes(encoded(figure_of(options.data_dir), digest()))
    print(options.output)


if __name__ == "__main__":
    main()
