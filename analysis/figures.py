"""Draw a paper's figure: accuracy over the test environments, measured and published."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from command_line import Parser, filling, find_paper
from irm_sweeps.errors import UserError, one_line_errors

_DESCRIPTION = """\
Draw accuracy over the test environments, one line for each row of a paper's table: mean over the seeds with
error bars of one sample standard deviation, and what is published beside it as open markers. The path of the
picture is printed; what is missing, diverged or failed is said on stderr.

Rows, trials and selection rule are those of conf/paper/NAME.yaml, which has a section `figure`."""

_EPILOG = """\
examples:
  python analysis/figures.py --paper demo
  python analysis/figures.py --paper bae2021 --table 1 --output figure.pdf
  python analysis/figures.py --paper bae2021 --table 1 'seed=range(0,3)' dataset.source=embedded

exit codes: 0 drawn; 2 something to correct, said in one line."""

_KINDS = ("png", "pdf", "svg")


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
        paper = find_paper(options.paper, options.table)
        if paper.figure is None:
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
        found = list(curves(builder, paper.figure.metric))
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
        write_atomically(output, draw(found, paper.figure.metric, paper.figure.label, kind))
        print(output)


if __name__ == "__main__":
    main()
