"""Write the report: one HTML page with the verdicts, tables, figures, failures and provenance of a store."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from irm_sweeps.analysis.fill_commands import folder_to_fill
from irm_sweeps.analysis.options import Parser, add_sweep
from irm_sweeps.analysis.output_file import write_output
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.files import typed_paths
from irm_sweeps.files.reading import is_there
from irm_sweeps.process_state.garbage import collector_paused
from irm_sweeps.typed_commands import launching

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results

_DESCRIPTION = """\
Write one HTML page that needs nothing else, neither network nor other files: first the answer, which is the latest
sweep or the verdicts on the papers, with its table and picture; then what is running, the table of every other sweep
with its curve over lam, the tables and figures of every paper file that has any result, what failed or diverged and
why, where the results come from, and every trial with the command that makes it again. The papers without results are
listed with theirs. A paper that was run with overrides only is shown with those of its latest run. With
paper.only=[ROW,...] each paper has those of these rows that it has, and papers without any are left out.

With --sweep the page has one sweep, its table, failures, provenance and trials, and no papers."""

_EPILOG = """\
examples:
  %(prog)s
  %(prog)s --results results /scratch/other/results --output report.html
  %(prog)s 'seed=range(0,3)'
      (a shrunken run, of several: the overrides with which the papers were run)
  %(prog)s --sweep sweep-0123abcd

exit codes: 0 written, and its path printed; 2 something to correct, said in one line."""


def parser() -> Parser:
    """Return the parser of the command line."""
    report = Parser("report", _DESCRIPTION, _EPILOG, one_paper=False)
    add_sweep(report, "only the sweep of this name, or of the beginning of it")
    report.add_argument(
        "--trust",
        action="store_true",
        help="import the classes that a sweep's trials name, also where they are not irm_sweeps's, to learn which "
        "environment is shifted",
    )
    report.add_argument(
        "--output",
        type=typed_paths.output,
        metavar="FILE",
        help="an .html file (default: report.html in the first store)",
    )
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page where the command line asks."""
    with one_line_errors(), collector_paused():
        options = parser().read(argv)
        missing = [store for store in options.stores if not is_there(store)]
        if missing:
            raise UserError(
                f"--results {missing[0]}: no such directory; run something first: {launching('paper=demo')}"
            )
        output = options.output or folder_to_fill(options.stores) / "report.html"

        from irm_sweeps.analysis.readings import Results
        from irm_sweeps.analysis.tables.builder import check_choices

        check_choices(options.overrides)
        results = Results(options.stores)
        text = render(results, options)
        for problem in results.remarks:
            print(f"skipped {printable(problem)}", file=sys.stderr)
        write_output(output, text.encode())


def render(results: Results, options: argparse.Namespace) -> str:
    """Return the page; `paper.only=[ROW,...]` restricts it to these rows and the papers that have one.

    Raises
    ------
    UserError
        No paper has one of the rows, or there is no such sweep.
    """
    from irm_sweeps import __version__, provenance
    from irm_sweeps.analysis.report import curve_svg, inventory
    from irm_sweeps.analysis.report.order import sweep_was_last
    from irm_sweeps.analysis.report.running import running
    from irm_sweeps.analysis.report.search_curves import curve_sections
    from irm_sweeps.analysis.report.sections import Absent, Section, sections
    from irm_sweeps.analysis.report.sweep_sections import sweep_section, sweep_sections
    from irm_sweeps.analysis.statistics.two_means import ALPHA, holm
    from irm_sweeps.analysis.sweeps.trials import find_manifest
    from irm_sweeps.analysis.tables.formats import page

    stores, select, manifest = options.stores, options.select, None
    if options.sweep:
        manifest = find_manifest(options.sweep, stores)
        sweeps = [sweep_section(manifest, results, select or "last", options.trust)]
        parts: list[Section | Absent] = []
        everything = [result for trial_id in manifest.trials if (result := results.of(trial_id))]
    else:
        sweeps = sweep_sections(results, stores, select, options.trust)
        parts = list(sections(results, stores, select, options.overrides, options.only))
        everything = results.everything()
    names = inventory.names(everything)
    shown = [part for part in parts if isinstance(part, Section)]
    hidden = [part for part in parts if isinstance(part, Absent)]
    verdicts = {compared: verdict for section in shown for compared, verdict in section.verdicts.items()}.values()
    p_values = [verdict.p for verdict in verdicts if verdict.p is not None]
    git = provenance.git_state()
    is_sweep_first = bool(sweeps) and (not shown or sweep_was_last(stores))
    return page(
        "report.html",
        sweeps=sweeps,
        only_sweep=options.sweep,
        sections=shown,
        published=[section for section in shown if section.is_published],
        first_sweep=sweeps[0] if is_sweep_first else None,
        first_section=shown[0] if shown and not is_sweep_first else None,
        running=running(results, manifest),
        curves=curve_sections(results, select, trusted=options.trust, trial_ids=manifest.trials if manifest else None),
        width=curve_svg.WIDTH,
        height=curve_svg.HEIGHT,
        absent=[part for part in hidden if part.command],
        broken=[part for part in hidden if part.reason],
        without_rows=[part for part in hidden if not part.command and not part.reason],
        words=Counter(verdict.word for verdict in verdicts),
        repeated=sum(cell.verdict is not None for part in shown for cell in part.table.cells) - len(verdicts),
        tests=len(p_values),
        below=sum(p < ALPHA for p in p_values),
        below_holm=sum(p < ALPHA for p in holm(p_values)),
        expected=ALPHA * len(p_values),
        trials=[inventory.entry(one, results.store_of(one.trial_id), names[one.trial_id]) for one in everything],
        failures=inventory.failure_groups(everything, results.store_of, names),
        origins=inventory.origins(everything),
        data=inventory.data_digests(everything),
        problems=results.remarks,
        stores=stores,
        overrides=[*options.only, *options.overrides],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        commit=git["commit"][:12] if git else "outside a checkout",
    )
