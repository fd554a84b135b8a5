"""What the scripts have in common on the command line: a paper file, stores, overrides."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis import selection_rules
from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.files.reading import is_folder, is_there
from irm_sweeps.typed_commands import Name, OneLineParser, command, import_from_here, offers

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper

_OVERRIDE = re.compile(r"[+~]*[A-Za-z_][\w./@]*=")


class Parser(OneLineParser):
    """The options that all scripts have.

    `report.py` is about all papers at once, and has no option to name one; `figures.py` also draws sweeps of none.
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
            self._name_a_paper(paper_required)
        self.add_argument(
            "--results",
            nargs="+",
            action="extend",
            metavar="DIR",
            help="the store, or several whose results are put together (default: results)",
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

    def _name_a_paper(self, required: bool) -> None:
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
        """Return the options.

        `stores` are paths; `overrides` has every KEY=VALUE, wherever it stood, but those that choose a paper's rows
        (`paper.only=[...]`), which are in `only`.
        """
        import_from_here()
        options = self.parse_intermixed_args(argv)
        stores: list[Path] = []
        for word in options.results or []:
            if _OVERRIDE.match(word) and not Path(word).is_dir():
                options.overrides.append(word)
            else:
                stores.append(Path(word))
        if options.results and not stores:
            raise UserError("--results: give at least one directory")
        for word in options.overrides:
            if not _OVERRIDE.match(word):
                raise UserError(f"{word!r} is no override: give KEY=VALUE, e.g. seed=range(0,3)")
            if word.startswith("results="):
                raise UserError(f"{word}: say --results {word.partition('=')[2]}")
            if word.startswith("paper="):
                said = f"say --paper {word.partition('=')[2]}" if "paper" in options else "all papers are shown"
                raise UserError(f"{word}: {said}")
        options.only = [word for word in options.overrides if word.lstrip("+").startswith("paper.")]
        options.overrides = [word for word in options.overrides if word not in options.only]
        for word in options.only:
            if not re.fullmatch(r"\+*paper\.only=\[.*\]", word):
                raise UserError(f"{word}: of a paper's keys only paper.only=[ROW,...], a list, can be given here")
        options.stores = stores or [Path("results")]
        for store in options.stores:
            if is_there(store) and not is_folder(store):
                raise UserError(f"--results {store} is a file: give a directory")
        return options


def write(output: Path, content: bytes) -> None:
    """Write a file that a script makes, and print its name.

    Raises
    ------
    UserError
        It cannot be written there.
    """
    from irm_sweeps.errors import StoreError
    from irm_sweeps.files.atomic import make_folder, write_atomically

    try:
        make_folder(output.parent)
        write_atomically(output, content)
    except StoreError as error:
        raise UserError(f"{error}: name another place with --output FILE") from None
    print(output)


def find_paper(name: str, table: str | None, figure: str | None = None, only: Sequence[str] = ()) -> Paper:
    """Load the file of a paper's table or figure; `only`: see `load_paper`.

    Raises
    ------
    UserError
        There is none of this name (the message lists those that exist), or it is a union of others.
    """
    names = paper_names()
    if table is not None and figure is not None:
        raise UserError(f"--table {table} --figure {figure}: give one of them")
    asked, wanted = _asked(name, table, figure)
    if name.endswith((".yaml", ".yml")):
        from irm_sweeps.compose import paper_by_path

        raise paper_by_path(asked, name)
    if wanted not in names:
        raise UserError(
            f"{asked}: no conf/paper/{wanted}.yaml{did_you_mean(wanted, names)}; there are: "
            + ", ".join(_typed(known) for known in names)
        )
    from irm_sweeps.sweep.paper import load_paper

    paper = load_paper(wanted, only=only)
    if paper.include:
        raise UserError(f"{asked} is several tables and figures: {', '.join(map(_typed, paper.include))}")
    return paper


def _asked(name: str, table: str | None, figure: str | None) -> tuple[str, str]:
    """Return the options that name a paper, and the name of the file that they mean."""
    asked, wanted = f"--paper {name}", name
    for option, number in (("table", table), ("figure", figure)):
        if number is not None:
            asked, wanted = f"{asked} --{option} {number}", f"{name}_{option}{number}"
    return asked, wanted


def row_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return the rows with trials of the paper that is named before them, for the Tab key; of none: nothing."""
    from irm_sweeps.compose import compose

    wanted = _asked(parsed_args.paper, parsed_args.table, parsed_args.figure)[1]
    if wanted not in paper_names():
        return []
    rows = compose([f"paper={wanted}"])["paper"].get("rows", {})
    return [name for name, row in rows.items() if row.get("sweep") is not None]


def paper_names() -> list[str]:
    """Return the names of all paper files, the user's own included."""
    from irm_sweeps.compose import yamls

    return sorted({path.stem for path in yamls("paper")})


def _typed(name: str) -> str:
    found = re.fullmatch(r"(.+)_(table|figure)(\w+)", name)
    return f"--paper {found[1]} --{found[2]} {found[3]}" if found else f"--paper {name}"


def filling(store: Path, user: Sequence[str]) -> list[str]:
    """Return the overrides of a command that fills this store."""
    return [*user, *([] if store == Path("results") else [f"results={_in_hydra(str(store))}"])]


def _in_hydra(value: str) -> str:
    """Return a value that Hydra's grammar reads as it stands: one with a comma, say, is no sweep."""
    from hydra.core.override_parser.types import Quote, QuotedString

    plain = re.fullmatch(r"[\w./+@%-]+(?: [\w./+@%-]+)*", value)
    return value if plain else str(QuotedString(value, Quote.single).with_quotes())
