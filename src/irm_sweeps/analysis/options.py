"""The command-line options that table, figure and report share: a paper or a sweep, stores, a selection rule."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.analysis.text_grid import flowed, wrapped
from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import from_home
from irm_sweeps.typed_commands import DEFAULT_STORE, Name, OneLineParser, command, import_from_here, offers

_OVERRIDE = re.compile(r"[+~]*[A-Za-z_][\w./@]*=")


_LISTED = re.compile(r" +(?:\S+ {2,}|(?=\())")
"""The beginning of a line of a list, up to its text: a name and at least two blanks, or the bracket of a remark."""
_WIDEST = 120


class _Paragraphs(argparse.RawDescriptionHelpFormatter):
    """Fits paragraphs and lists of a description to the terminal; other indented lines are commands, and stay whole."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        width = min(width, _WIDEST)
        lines: list[str] = []
        for is_indented, group in groupby(text.splitlines(), lambda line: line[:1] in (" ", "")):
            if not is_indented:
                lines += wrapped(" ".join(group), width, indent)
                continue
            for line in group:
                listed = _LISTED.match(line)
                if listed and len(line) > width:
                    words = line[listed.end() :].split()
                    lines += flowed(words, width, " ", first=listed[0], further=" " * listed.end())
                else:
                    lines.append(line)
        return "\n".join(lines)


class Parser(OneLineParser):
    """A parser of the options that the three commands share.

    Parameters
    ----------
    one_paper
        Whether `--paper` names a paper, or `--sweep` a sweep; `report` shows all.
    """

    def __init__(self, name: Name, description: str, epilog: str, *, one_paper: bool = True) -> None:
        super().__init__(
            prog=command(name),
            description=description,
            epilog=epilog,
            formatter_class=_Paragraphs,
            allow_abbrev=False,
        )
        if one_paper:
            self._add_paper()
            add_sweep(self, "without --paper: the sweep of this name, or of the beginning of it")
        self.add_argument(
            "--results",
            nargs="+",
            action="extend",
            metavar="DIR",
            help="the store, or an archive of irm-sweeps pack, or several whose results are put together "
            "(default: results)",
        )
        self.add_argument(
            "--select",
            choices=sorted(selection_rules.STEPS),
            help="selection rule (default: the paper file's, of a sweep last, in its pictures val where settings "
            "are compared and all hold images back): "
            + "; ".join(f"{rule}: {step}" for rule, step in selection_rules.STEPS.items()),
        )
        self.add_argument(
            "overrides",
            nargs="*",
            metavar="KEY=VALUE",
            help="the overrides that the trials were run with, as in launch's command line",
        )

    def _add_paper(self) -> None:
        paper = self.add_argument(
            "--paper",
            metavar="NAME",
            help="which file of conf/paper: `--paper bae2021 --table 1` is bae2021_table1.yaml, "
            "`--paper demo` is demo.yaml",
        )
        offers(paper, lambda **_: paper_names())
        self.add_argument("--table", metavar="N", help="number of the paper's table")
        self.add_argument("--figure", metavar="N", help="number of the paper's figure")

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Return the checked options.

        `stores` holds the directories and archives. `only` holds the overrides that choose a paper's rows
        (`paper.only=[...]`), `overrides` all others, also those that were typed after `--results`.

        Raises
        ------
        UserError
            A word is no override, or an override has an option of its own.
        """
        import_from_here()
        options = self.parse_intermixed_args(argv)
        stores: list[Path] = []
        for word in options.results or []:
            if _OVERRIDE.match(word) and not Path(word).exists():
                options.overrides.append(word)
            else:
                stores.append(from_home(word, "--results"))
        for store in stores:
            if store.suffix == ".zip" and not store.exists():
                raise UserError(f"--results {store}: no such file; give an archive that irm-sweeps pack wrote")
        if options.results and not stores:
            raise UserError("--results: give at least one directory or archive")
        for word in options.overrides:
            check_override(word, names_a_paper="paper" in options)
        options.only, options.overrides = rows_and_others(options.overrides)
        options.stores = stores or [DEFAULT_STORE]
        _check_selection(options)
        return options


def add_sweep(parser: OneLineParser, about: str) -> None:
    """Add the name of a sweep, with its completion."""
    offers(parser.add_argument("--sweep", metavar="NAME", help=about), _sweep_names)


def _sweep_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return the names of the sweeps in the stores, for the Tab key."""
    from irm_sweeps.store.archive import open_reader
    from irm_sweeps.store.sweeps import sweep_names

    try:
        return [
            name
            for root in parsed_args.results or ["results"]
            for name in sweep_names(open_reader(from_home(root, "--results")))
        ]
    except UserError:
        return []


def _check_selection(options: argparse.Namespace) -> None:
    """Check that a paper, a sweep's name and overrides do not contradict each other."""
    paper = getattr(options, "paper", None)
    if options.sweep is not None and paper is not None:
        raise UserError(f"--sweep {options.sweep} --paper {paper}: give one of them")
    if options.sweep is not None and (words := [*options.only, *options.overrides]):
        raise UserError(f"--sweep {options.sweep} {words[0]}: a sweep's name says which trials: leave {words[0]} out")
    if "paper" not in options or paper is not None:
        return
    for option in ("table", "figure"):
        if getattr(options, option) is not None:
            raise UserError(f"--{option} {getattr(options, option)}: of which paper? add --paper NAME")
    if options.only:
        raise UserError(f"{options.only[0]}: of which paper? add --paper NAME")


def rows_and_others(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides that choose a paper's rows (`paper.only=[...]`), and all others.

    Raises
    ------
    UserError
        Another key of a paper is given.
    """
    only = [word for word in overrides if word.lstrip("+").startswith("paper.")]
    for word in only:
        if not re.fullmatch(r"\+*paper\.only=\[.*\]", word):
            raise UserError(f"{word}: of a paper's keys only paper.only=[ROW,...], a list, can be given here")
    return only, [word for word in overrides if word not in only]


def check_override(word: str, *, names_a_paper: bool) -> None:
    """Check that a word is an override, and of no option.

    Raises
    ------
    UserError
        It is not.
    """
    if not _OVERRIDE.match(word):
        raise UserError(f"{word!r} is no override: give KEY=VALUE, e.g. seed=range(0,3)")
    key, _, value = word.partition("=")
    if key == "results":
        raise UserError(f"{word}: say --results {value}")
    if key == "paper":
        raise UserError(f"{word}: " + (f"say --paper {value}" if names_a_paper else "all papers are shown"))
