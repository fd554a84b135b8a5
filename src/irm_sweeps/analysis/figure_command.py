"""Draw a paper's figure, measured and published, or a general picture of a paper's, a sweep's or a store's trials."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.analysis.options import Parser
from irm_sweeps.analysis.output_file import write_output
from irm_sweeps.analysis.paper_files import find_paper
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.files import typed_paths
from irm_sweeps.typed_commands import launching

if TYPE_CHECKING:
    from irm_sweeps.analysis.figures.measuring import Measuring
    from irm_sweeps.analysis.figures.picture import Picture
    from irm_sweeps.analysis.figures.series import Series
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.tables.builder import Builder
    from irm_sweeps.sweep.paper import Paper

_DESCRIPTION = """\
Draw a line (or bars) for each row of a paper's file: mean over the seeds with one sample standard deviation, and
what is published beside it as open markers. The path of the picture is printed; what is missing, diverged or
failed is said on stderr.

Rows, trials and selection rule are those of conf/paper/NAME.yaml; its section `figure` says what is drawn: a measure
over the test environments, a metric over a number of the config, a logged quantity over training, or bars.

With --curves, one of the general pictures in its place, in panels for test environments like training and for the
shifted one:
  lam       accuracy over the penalty weight, which must have been swept; a method without one is a flat line
  training  the evaluations of training (training.evaluate_every=K), or with --quantity what was logged, over steps
  heatmap   a number for each method (row) and each backbone and dataset (column); of a paper, its table
  budget    the expected result of a search over the number of settings tried, by validation and by test oracle
  line      accuracy under shift against accuracy in distribution, a point a trial, with the line through all
They are of a paper's rows; without --paper, of the sweep that --sweep names or the overrides make; without any, of
the store: then trials that differ in anything but lam and the seed are in panels or lines of their own, and where
these are too many, the keys are named in which to restrict them.

In `training` a seed that diverged, failed or is still being trained is a thin line, as far as it goes, and part of no
mean."""

_EPILOG = """\
examples:
  %(prog)s --paper demo
  %(prog)s --paper bae2021 --figure 3 --output figure3.pdf
  %(prog)s --paper bae2021 --table 1 'seed=range(0,3)' dataset.source=embedded
  %(prog)s --curves lam --paper demo lam=1,100,10000
  %(prog)s --curves lam method=irmv1,vrex lam=1,10,100 seed=0,1 dataset.source=embedded
  %(prog)s --curves lam --sweep sweep-0123abcd
  %(prog)s --curves training --quantity penalty --log-y method=irmv1 lam=100 'seed=range(0,3)'
  %(prog)s --curves heatmap --select val --output heatmap.svg

exit codes: 0 drawn; 2 something to correct, said in one line."""

_FORMATS = ("png", "pdf", "svg")
_OF_TRIALS = ("budget", "line")
"""The pictures that are of all trials, where the others show the chosen setting of each series."""
_CURVES = ("lam", "training", "heatmap", *_OF_TRIALS)


def parser() -> Parser:
    """Return the parser of the command line."""
    figure = Parser("figure", _DESCRIPTION, _EPILOG)
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
        help="with --curves, of a store or --sweep: import the classes that its trials name, also where they are not "
        "irm_sweeps's",
    )
    figure.add_argument(
        "--output",
        type=typed_paths.output,
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
        paper = _paper(options)
        output = options.output or folder_to_fill(options.stores) / f"{_name(options, paper)}.png"
        file_format = output.suffix.removeprefix(".").lower()
        if file_format not in _FORMATS:
            raise UserError(f"--output {output}: give a file that ends in .png, .pdf or .svg")

        from irm_sweeps.analysis.figures import drawing, heatmap
        from irm_sweeps.analysis.papers.runs import overrides_of_run
        from irm_sweeps.analysis.readings import Results
        from irm_sweeps.analysis.tables.builder import Builder

        results = Results(options.stores)
        if paper and not options.overrides:
            options.overrides = overrides_of_run(paper, options, results)
        builder = Builder(paper, options.stores, options.select, options.overrides, results) if paper else None
        if options.curves in _OF_TRIALS:
            write_output(output, _drawn_of_trials(options, builder, results, file_format))
            return
        picture, skipped = _picture(options, builder, results)
        _report_missing(picture, [*results.remarks, *skipped], _command(options, paper))
        draw = heatmap.draw if options.curves == "heatmap" else drawing.draw
        write_output(output, draw(picture, file_format))


def _check(options: argparse.Namespace) -> None:
    if options.sweep is not None and not options.curves:
        raise UserError(f"--sweep {options.sweep}: give --curves {'|'.join(_CURVES)} too")
    if options.paper is None and not options.curves:
        raise UserError(f"give --paper NAME for its figure, or --curves {'|'.join(_CURVES)} for a general picture")
    if options.curves != "training" and (options.quantity or options.log_y):
        raise UserError("--quantity and --log-y go with --curves training")
    if options.metric and (not options.curves or options.quantity or options.curves in _OF_TRIALS):
        raise UserError("--metric goes with --curves lam, training and heatmap, and not with --quantity")


def _paper(options: argparse.Namespace) -> Paper | None:
    if options.paper is None:
        return None
    paper = find_paper(options.paper, options.table, options.figure, options.only)
    if not options.curves and paper.figure is None:
        raise UserError(
            f"conf/paper/{paper.name}.yaml has no section `figure`: add one, with a label, or give --curves"
        )
    return paper


def _name(options: argparse.Namespace, paper: Paper | None) -> str:
    """Return the name of the file that is written where none is given."""
    quantity = re.sub(r"[^A-Za-z0-9_.-]", "_", options.quantity or "")
    return "_".join(word for word in (paper.name if paper else None, options.curves, quantity) if word)


def _command(options: argparse.Namespace, paper: Paper | None) -> str:
    """Return the command that runs everything."""
    if options.sweep:
        from irm_sweeps.analysis.sweeps.trials import find_manifest

        return find_manifest(options.sweep, options.stores).command
    overrides = overrides_into(folder_to_fill(options.stores), options.overrides)
    return paper.command(None, overrides) if paper else launching(*overrides)


def _picture(options: argparse.Namespace, builder: Builder | None, results: Results) -> tuple[Picture, list[str]]:
    """Return what is measured, and a remark on every trial or row that is in no series."""
    from irm_sweeps.analysis.figures import general
    from irm_sweeps.analysis.figures.paper_figure import paper_picture

    if builder and not options.curves:
        return paper_picture(builder), []
    if builder and options.curves == "heatmap" and not options.metric:
        return general.table_picture(builder), []
    measuring, skipped = _measuring(options, builder, results)
    title = _title(options, builder) or "all trials"
    try:
        if options.curves == "lam":
            return general.lam_picture(measuring, title), skipped
        if options.curves == "training":
            return general.training_picture(measuring, title, options.quantity, log_y=options.log_y), skipped
        return general.heatmap_picture(measuring, title), skipped
    except UserError:
        _print_skipped([*results.remarks, *skipped])  # perhaps the reason
        raise


def _drawn_of_trials(options: argparse.Namespace, builder: Builder | None, results: Results, file_format: str) -> bytes:
    """Return the file of a picture that is of all trials, and print what is in no series."""
    from irm_sweeps.analysis.figures import accuracy_line, budget
    from irm_sweeps.analysis.figures.general import setting_of
    from irm_sweeps.analysis.tables.notes import made_by

    measuring, skipped = _measuring(options, builder, results)
    _print_skipped([*results.remarks, *skipped])
    series, (inside, shifted) = measuring.series, measuring.panels
    title = _title(options, builder) or "all trials"
    if options.curves == "budget":
        searches = {rule: budget.searches(series, results, rule, shifted) for rule in budget.RULES}
        metric = shifted.metrics(series[0].trials[0], {})[0]
        versions = made_by(results, (trial.id for one in series for trial in one.trials))
        return budget.draw(searches, metric, measuring.unit, title, file_format, setting_of(series), versions)
    points = accuracy_line.points(series, results, inside, shifted)
    rules = measuring.caption("each trial is scored {step}")
    return accuracy_line.draw(points, measuring.titles, rules, title, file_format, setting_of(series))


def _title(options: argparse.Namespace, builder: Builder | None) -> str:
    return builder.paper.title if builder else options.sweep or " ".join(options.overrides)


def _measuring(options: argparse.Namespace, builder: Builder | None, results: Results) -> tuple[Measuring, list[str]]:
    """Return what measures the trials of a general picture, and a remark on every trial or row that is in no series."""
    from irm_sweeps.analysis.figures import metrics
    from irm_sweeps.analysis.figures.measuring import Measuring
    from irm_sweeps.analysis.selection_rules import honest

    series, skipped = _series(options, builder, results)
    if builder is None and options.select is None:
        rule = honest(*(one.trials for one in series))
        series = [replace(one, rule=rule) for one in series]
    panels = [metrics.named(metric) for metric in options.metric] if options.metric else metrics.DEFAULT
    return Measuring(series, results, panels, by_task=_is_of_store(options)), skipped


def _series(options: argparse.Namespace, builder: Builder | None, results: Results) -> tuple[list[Series], list[str]]:
    """Return the series of a paper, else of the sweep that is named or that overrides make, else of the store."""
    from irm_sweeps.analysis.figures import store_wide
    from irm_sweeps.analysis.figures.series import of_manifest, of_overrides, of_paper, of_store
    from irm_sweeps.analysis.sweeps.trials import find_manifest

    rule = options.select or "last"
    if builder:
        return of_paper(builder)
    if options.overrides:
        return of_overrides(options.overrides, options.stores, rule), []
    if options.sweep:
        manifest = find_manifest(options.sweep, options.stores)
        series, skipped = of_manifest(manifest, results, rule, trusted=options.trust)
    else:
        series, skipped = of_store(results, rule, trusted=options.trust)
    if skipped and not series:
        raise UserError(f"no result can be drawn: {'; '.join(skipped)}")
    if not series:
        raise UserError(
            f"no results in {', '.join(map(str, options.stores))}: give --results DIR, or run a sweep first, "
            f"e.g. {launching('method=irmv1,vrex', 'lam=1,100,10000')}"
        )
    if _is_of_store(options):
        store_wide.check(options.curves, series, results)
    return series, skipped


def _is_of_store(options: argparse.Namespace) -> bool:
    """Return whether nothing restricts the picture: neither a paper nor a sweep nor overrides."""
    return not (options.paper or options.sweep or options.overrides)


def _report_missing(picture: Picture, skipped: Sequence[str], command: str) -> None:
    """Print what is not drawn to stderr; `command` runs everything.

    Raises
    ------
    UserError
        Nothing is drawn.
    """
    from irm_sweeps.analysis.figures.captions import rules_without_choice

    _print_skipped(skipped)
    remarks = [remark for curve in picture.curves for remark in curve.remarks]
    if not any(curve.is_drawn for curve in picture.curves):
        if rules := {lack.rule for lack in rules_without_choice(picture.curves)} - {"val"}:  # whose reason has a hint
            raise UserError(
                f"nothing to draw, though trials have run: selection rule {', '.join(rules)} chose no step of them; "
                "draw them as they are at the end of training with --select last"
            )
        if reasons := [remark for remark in remarks if ": no result yet: " not in remark]:
            raise UserError(f"nothing to draw: {reasons[0]}")
        raise UserError(f"nothing measured yet, so nothing to draw: run {command}")
    for remark in remarks:
        print(printable(remark), file=sys.stderr)


def _print_skipped(skipped: Sequence[str]) -> None:
    for reason in skipped:
        print(printable(reason if reason.startswith("skipped ") else f"skipped {reason}"), file=sys.stderr)
