"""The command-line options that table, figure and report share: a paper file, stores, a selection rule, overrides."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.errors import UserError
from irm_sweeps.typed_commands import Name, OneLineParser, command, import_from_here, offers

_OVERRIDE = re.compile(r"[+~]*[A-Za-z_][\w./@]*=")


class Parser(OneLineParser):
    """A parser of the options that the three commands share.

    Parameters
    ----------
    one_paper
        Whether `--paper` names a paper; `report` shows all papers.
    paper_required
        Whether `--paper` must be given; `figure` also draws sweeps that belong to no paper.
    """

    def __init__(
        self, name: Name, description: str, epilog: str, *, one_paper: bool = True, paper_required: bool = True
    ) -> None:
        super().__init__(
            prog=command(name),
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if one_paper:
            self._add_paper(paper_required)
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
            help="selection rule (default: the paper file's): "
            + "; ".join(f"{rule}: {step}" for rule, step in selection_rules.STEPS.items()),
        )
        self.add_argument(
            "overrides",
            nargs="*",
            metavar="KEY=VALUE",
            help="the overrides that the trials were run with, as in launch's command line",
        )

    def _add_paper(self, required: bool) -> None:
        paper = self.add_argument(
            "--paper",
            required=required,
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
                stores.append(Path(word))
        if options.results and not stores:
            raise UserError("--results: give at least one directory or archive")
        for word in options.overrides:
            check_override(word, names_a_paper="paper" in options)
        options.only, options.overrides = rows_and_others(options.overrides)
        options.stores = stores or [Path("results")]
        return options


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
