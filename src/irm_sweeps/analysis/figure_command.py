"""Draw a paper's figure, measured and published, or a general picture of a paper's, a sweep's or a store's trials."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.options import Parser, filling, find_paper, write
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.typed_commands import launching

if TYPE_CHECKING:
    from irm_sweeps.analysis.figures.paper_series import Curve
    from irm_sweeps.sweep.paper import Paper

_DESCRIPTION = """\
Draw a line (or bars) for each row of a paper's file: mean over the seeds with one sample standard deviation, and
what is published beside it as open markers. The path of the picture is printed; what is missing, diverged or
failed is said on stderr.

Rows, trials and selection rule are those of conf/paper/NAME.yaml; its section `figure` says what is drawn: a measure
over the test environments, a metric over a number of the config, a logged quantity over training, or bars.

With --curves, one of three general pictures in its place, in panels for test environments like training and for the
shifted one:
  lam       accuracy over the penalty weight, which must have been swept; a method without one is a flat line
  training  the evaluations of training (training.evaluate_every=K), or with --quantity what was logged, over steps
  heatmap   a number for each method (row) and each backbone and dataset (column); of a paper, its table
They are of a paper's rows; without --paper, of the sweep that these overrides make; without either, of the store."""

_EPILOG = """\
examples:
  %(prog)s --paper demo
  %(prog)s --paper bae2021 --figure 3 --output figure3.pdf
  %(prog)s --paper bae2021 --table 1 'seed=range(0,3)' dataset.source=embedded
  %(prog)s --curves lam --paper demo lam=1,100,10000
  %(prog)s --curves lam method=irmv1,vrex lam=1,10,100 seed=0,1 dataset.source=embedded
  %(prog)s --curves training --quantity penalty --log-y method=irmv1 lam=100 'seed=range(0,3)'
  %(prog)s --curves heatmap --select val --output heatmap.svg

exit codes: 0 drawn; 2 something to correct, said in one line."""

_KINDS = ("png", "pdf", "svg")
_CURVES = ("lam", "training", "heatmap")


def measure_of(paper: Paper) -> str:
    """Return what a paper's figure shows: its own measure over environments, else that of the columns."""
    from irm_sweeps.sweep.metric import parts

    assert paper.figure is not None
    return paper.figure.metric if paper.figure.kind == "environments" else parts(paper.columns[0].metric)[2]


def parser() -> Parser:
    """Return the command line."""
    figure = Parser("figure", _DESCRIPTION, _EPILOG, paper_required=False)
    figure.add_argument("--curves", choices=_CURVES, help="a general picture in place of the paper's figure")
    figure.add_argument(
        "--metric",
        action="append",
        metavar="SPLIT/ENVIRONMENT/MEASURE",
        help="with --curves: draw this, e.g. test/0.5/accuracy, in place of the two environments; again: a panel more",
    )
    figure.add_argument(
        "--quantity", metavar="NAME", help="with --curves training: what was logged, e.g. penalty or risks"
    )
    figure.add_argument("--log-y", action="store_true", help="with --curves training: a logarithmic vertical axis")
    figure.add_argument(
        "--trust",
        action="store_true",
        help="with --curves, of a store: import the classes that its trials name, also where they are not irm_sweeps's",
    )
    figure.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="a .png, .pdf or .svg file (default: NAME.png, with --curves NAME_lam.png or lam.png, "
        "with --quantity NAME_training_penalty.png, in the first store)",
    )
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the figure that the command line asks for."""
    with one_line_errors():
        options = parser().read(argv)
        _check(options)
        name = options.curves or ""
        paper = None
        if options.paper is not None:
            paper = find_paper(options.paper, options.table, options.figure, options.only)
            name = "_".join([paper.name, *([name] if name else [])])
        if options.quantity:
            name = f"{name}_{re.sub(r'[^A-Za-z0-9_.-]', '_', options.quantity)}"
        if paper is not None and not options.curves and paper.figure is None:
            raise UserError(
                f"conf/paper/{paper.name}.yaml has no section `figure`: add one, with a label, or give --curves"
            )
        output = options.output or options.stores[0] / f"{name}.png"
        kind = output.suffix.removeprefix(".").lower()
        if kind not in _KINDS:
            raise UserError(f"--output {output}: give a file that ends in .png, .pdf or .svg")
        picture = _general(options, paper, kind) if options.curves else _of_paper(options, paper, kind)
        write(output, picture)


def _check(options: argparse.Namespace) -> None:
    if options.paper is None and not options.curves:
        raise UserError(f"give --paper NAME for its figure, or --curves {'|'.join(_CURVES)} for a general picture")
    for option in ("table", "figure"):
        if options.paper is None and getattr(options, option) is not None:
            raise UserError(f"--{option} {getattr(options, option)}: of which paper? add --paper NAME")
    if options.paper is None and options.only:
        raise UserError(f"{options.only[0]}: of which paper? add --paper NAME")
    if options.curves != "training" and (options.quantity or options.log_y):
        raise UserError("--quantity and --log-y go with --curves training")
    if options.metric and (not options.curves or options.quantity):
        raise UserError("--metric goes with --curves, and not with --quantity")


def _of_paper(options: argparse.Namespace, paper: Paper | None, kind: str) -> bytes:
    from irm_sweeps.analysis.figures.drawing import draw
    from irm_sweeps.analysis.figures.paper_series import curves, named
    from irm_sweeps.analysis.table_builder import Builder, check_choices

    assert paper is not None
    assert paper.figure is not None
    builder = Builder(paper, options.stores, options.select, options.overrides)
    check_choices(options.overrides)
    found = curves(builder, paper.figure)
    _say(found, builder.results.problems, _launch(options, paper))
    return draw(found, named(builder, paper.figure), measure_of(paper), kind)


def _general(options: argparse.Namespace, paper: Paper | None, kind: str) -> bytes:
    from irm_sweeps.analysis.figures import heatmap, lines, metrics
    from irm_sweeps.analysis.figures.drawing import UNITS, draw
    from irm_sweeps.analysis.figures.general import General, of_table
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.table_builder import Builder
    from irm_sweeps.sweep.paper import Figure
    from irm_sweeps.wording import count

    results = Results(options.stores)
    rule = options.select or "last"
    builder = Builder(paper, options.stores, options.select, options.overrides, results) if paper else None
    remarks: list[str] = []
    title = paper.title if paper else " ".join(options.overrides)
    if builder and options.curves == "heatmap" and not options.metric:
        found = of_table(builder)
    else:
        if builder:
            own, remarks = lines.of_paper(builder)
        elif options.overrides:
            own, remarks = lines.of_overrides(options.overrides, options.stores, rule)
        else:
            own, remarks = lines.of_store(results, rule, trusted=options.trust)
            if remarks and not own:
                raise UserError(
                    f"none of {count(len(remarks), 'result')} can be drawn; {remarks[0]}; "
                    "add --trust if their classes are yours or of somebody you trust"
                )
            if not own:
                raise UserError(
                    f"no results in {', '.join(map(str, options.stores))}: give --results DIR, or run a sweep first, "
                    f"e.g. {launching('method=irmv1,vrex', 'lam=1,100,10000')}"
                )
        asked = metrics.named(options.metric) if options.metric else metrics.DEFAULT
        general = General(own, results, options.stores, asked)
        try:
            if options.curves == "lam":
                found = general.over_lam()
            elif options.curves == "training":
                found = general.over_training(options.quantity)
            else:
                found = general.over_tasks()
        except UserError:
            _tell([*results.problems, *remarks])  # perhaps the reason
            raise
    _say(found.curves, [*results.problems, *remarks], _launch(options, paper))
    if options.curves == "heatmap":
        return heatmap.draw(found.curves, found.places, found.measure, title, kind, found.caption)
    unit = options.quantity or UNITS[found.measure]
    if options.curves == "lam":
        wanted = Figure(label=title, kind="number", x="lam", x_label="penalty weight lam", y_label=unit, log_x=True)
    else:
        quantity = options.quantity or found.measure
        wanted = Figure(label=title, kind="history", quantity=quantity, y_label=unit, log_y=options.log_y)
    return draw(found.curves, wanted, found.measure, kind, found.caption)


def _launch(options: argparse.Namespace, paper: Paper | None) -> str:
    """Return the command that runs everything."""
    user = filling(options.stores[0], options.overrides)
    return paper.command(None, user) if paper else launching(*user)


def _say(found: Sequence[Curve], problems: Sequence[str], command: str) -> None:
    """Print what is not drawn to stderr.

    Raises
    ------
    UserError
        Nothing is.
    """
    _tell(problems)
    if not any(curve.measured for curve in found):
        if remarks := [remark for curve in found for remark in curve.remarks if ": no result yet: " not in remark]:
            raise UserError(f"nothing to draw: {remarks[0]}")
        raise UserError(f"nothing measured yet, so nothing to draw: run {command}")
    for curve in found:
        for remark in curve.remarks:
            print(printable(remark), file=sys.stderr)


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        print(printable(problem if problem.startswith("skipped ") else f"skipped {problem}"), file=sys.stderr)
