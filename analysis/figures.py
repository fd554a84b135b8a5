"""Draw a paper's figure, measured and published: over test environments, a number, training, or as bars."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import Parser, filling, find_paper
from irm_sweeps.errors import UserError, one_line_errors

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper

_DESCRIPTION = """\
Draw a line (or bars) for each row of a paper's file: mean over the seeds with one sample standard deviation, and
what is published beside it as open markers. The path of the picture is printed; what is missing, diverged or
failed is said on stderr.

Rows, trials and selection rule are those of conf/paper/NAME.yaml; its section `figure` says what is drawn: a measure
over the test environments, a metric over a number of the config, a logged quantity over training, or bars."""

_EPILOG = """\
examples:
  python analysis/figures.py --paper demo
  python analysis/figures.py --paper bae2021 --figure 3 --output figure3.pdf
  python analysis/figures.py --paper bae2021 --table 1 'seed=range(0,3)' dataset.source=embedded

exit codes: 0 drawn; 2 something to correct, said in one line."""

_KINDS = ("png", "pdf", "svg")


def measure_of(paper: Paper) -> str:
    """Return what a paper's figure shows: its own measure over environments, else that of the columns."""
    from measured import parts

    assert paper.figure is not None
    return paper.figure.metric if paper.figure.kind == "environments" else parts(paper.columns[0].metric)[2]


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the figure that the command line asks for."""
    parser = Parser(_DESCRIPTION, _EPILOG)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="a .png, .pdf or .svg file (default: NAME.png in the first store)",
    )
    with one_line_errors():
        options = parser.read(argv)
        paper = find_paper(options.paper, options.table, options.figure)
        figure = paper.figure
        if figure is None:
            raise UserError(f"conf/paper/{paper.name}.yaml has no section `figure`: add one, with a label")
        output = options.output or options.stores[0] / f"{paper.name}.png"
        kind = output.suffix.removeprefix(".").lower()
        if kind not in _KINDS:
            raise UserError(f"--output {output}: give a file that ends in .png, .pdf or .svg")

        from curves import curves
        from drawing import draw
        from irm_sweeps.sweep.files import make_folder, write_atomically
        from layout import Builder

        builder = Builder(paper, options.stores, options.select, options.overrides)
        builder.check_user()
        found = curves(builder, figure)
        for problem in builder.results.problems:
            print(f"skipped {problem}", file=sys.stderr)
        if not any(curve.measured for curve in found):
            command = " ".join(
                ["python launch.py -m", f"paper={paper.name}", *filling(options.stores[0], options.overrides)]
            )
            raise UserError(f"nothing measured yet, so nothing to draw: run {command}")
        for curve in found:
            for remark in curve.remarks:
                print(remark, file=sys.stderr)
        make_folder(output.parent)
        write_atomically(output, draw(found, figure, measure_of(paper), kind))
        print(output)


if __name__ == "__main__":
    main()
